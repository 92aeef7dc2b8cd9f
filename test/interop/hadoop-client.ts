/**
 * Hadoop's own client, unmodified. Jars come from Maven Central through the pom beside this file and are
 * kept under the user's cache directory.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { repositoryRoot } from '../support/repository.ts'

/** Releases whose client is tried. */
export const hadoopVersions = (process.env['HADOOP_VERSIONS'] ?? '3.4.2,3.5.0').split(',')

/** Folder with the client jars of a Hadoop release; downloads them on first use. */
export function clientJars(version: string): string {
  return jarsOf('pom.xml', version, [`-Dhadoop.version=${version}`])
}

/** Folder with the jars of HBase's writer and of the Hadoop client that it is used with. */
export function hbaseJars(): string {
  return jarsOf('hbase-pom.xml', 'hbase', [])
}

function jarsOf(pom: string, name: string, properties: readonly string[]): string {
  const cache = process.env['HADOOP_JARS'] ?? join(homedir(), '.cache', 'trefoil-interop')
  const folder = join(cache, name)
  if (existsSync(join(folder, 'complete'))) return folder
  mkdirSync(folder, { recursive: true })
  const file = join(repositoryRoot, 'test/interop/hadoop', pom)
  const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`]
  const fetched = spawnSync('mvn', ['-B', '-q', '-f', file, ...properties, ...goal], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (fetched.status !== 0)
    throw new Error(`cannot fetch the jars of ${pom}, ${name}: install Maven and Java 17`)
  writeFileSync(join(folder, 'complete'), '')
  return folder
}

/** Compiles `NAME.java` beside the pom against the jars; the classes go to `folder`. */
export function compileJava(name: string, jars: string, folder: string): void {
  const source = join(repositoryRoot, 'test/interop/hadoop', `${name}.java`)
  const { status } = spawnSync('javac', ['-d', folder, '-cp', `${jars}/*`, source], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status !== 0) throw new Error(`cannot compile ${source}: install a Java 17 compiler`)
}

/**
 * Writes the configuration files without which Hadoop's shell does not start; returns their folder.
 * @param settings `dfs.…` ones: HDFS's defaults go before what core-site.xml says of them
 */
export function writeConfiguration(
  folder: string,
  uri: string,
  settings: Readonly<Record<string, string>> = {},
): string {
  const write = (name: string, values: Readonly<Record<string, string>>): void => {
    const properties = Object.entries(values).map(
      ([key, value]) => `<property><name>${key}</name><value>${value}</value></property>`,
    )
    const text = `<configuration>${properties.join('')}</configuration>\n`
    writeFileSync(join(folder, name), text)
  }
  write('core-site.xml', { 'fs.defaultFS': uri })
  write('hdfs-site.xml', settings)
  return folder
}

/** What Hadoop's client needs of a Java 17 virtual machine. */
export const javaOptions = ['java.lang', 'java.net', 'java.nio', 'java.util'].flatMap((name) => [
  '--add-opens',
  `java.base/${name}=ALL-UNNAMED`,
])
