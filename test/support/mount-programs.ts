import { type ForeignProgram, run } from './foreign-program.ts'
import { repositoryRoot } from './repository.ts'

/**
 * What somebody else's program does on a mount, with its own checks: a status other than 0 means that the mount did something wrong.
 * A script for `sh -e`; `$SCALE` is how large, `$SOURCE` a tree of files on a local disk, `$LOCAL` a local directory.
 */
export interface MountProgram {
  readonly name: string
  readonly needs: ForeignProgram
  readonly script: string
}

const needs = (command: string, from = command, probe = '--version'): ForeignProgram => ({
  command,
  probe: [probe],
  install: `apt-get install ${from}`,
})

const sqlite = (mode: string): string => `
sqlite3 db "PRAGMA journal_mode=${mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);"
i=0
while [ $i -lt $((10 * SCALE)) ]; do
  sqlite3 db "PRAGMA synchronous=FULL; BEGIN; INSERT INTO t (v) VALUES (randomblob(3000)), (randomblob(300));
    UPDATE t SET v = randomblob(2000) WHERE id % 3 = 0; COMMIT;"
  i=$((i + 1))
done
sqlite3 db "DELETE FROM t WHERE id % 5 = 0; VACUUM;"
test "$(sqlite3 db 'PRAGMA integrity_check')" = ok
test "$(sqlite3 db 'SELECT count(*) FROM t')" = $((20 * SCALE - 4 * SCALE))
cp db "$LOCAL/db"; test "$(sqlite3 "$LOCAL/db" 'PRAGMA integrity_check')" = ok`

export const mountPrograms: readonly MountProgram[] = [
  { name: 'sqlite-journal', needs: needs('sqlite3'), script: sqlite('DELETE') },
  { name: 'sqlite-wal', needs: needs('sqlite3'), script: sqlite('WAL') },
  {
    name: 'rsync',
    needs: needs('rsync'),
    script: `
i=0
while [ $i -lt $SCALE ]; do rsync -a "$SOURCE/" there$i/; diff -r "$SOURCE" there$i; i=$((i + 1)); done
test -z "$(rsync -ani --checksum "$SOURCE/" there0/)"
rsync -a there0/ "$LOCAL/back/"
test -z "$(rsync -ani --checksum "$SOURCE/" "$LOCAL/back/")"
echo more >> there0/added; rsync -a --delete --inplace "$SOURCE/" there0/; test ! -e there0/added`,
  },
  {
    name: 'tar',
    needs: needs('tar'),
    script: `
i=0
while [ $i -lt $SCALE ]; do mkdir t$i; tar cf - -C "$SOURCE" . | tar xf - -C t$i; i=$((i + 1)); done
tar cf all.tar t0; tar df all.tar; diff -r "$SOURCE" t0; rm -r t0`,
  },
  {
    name: 'make',
    needs: needs('gcc', 'build-essential'),
    script: `
n=$((8 * SCALE)); i=0
{ echo "all: run"; printf 'OBJECTS = main.o'; while [ $i -lt $n ]; do printf ' f%s.o' $i; i=$((i + 1)); done; echo
  echo 'run: $(OBJECTS)'; printf '\\tgcc -o $@ $^\\n'; echo '%.o: %.c'; printf '\\tgcc -c -o $@ $<\\n'; } > Makefile
i=0; { echo '#include <stdio.h>'; echo 'int total;'; } > main.c
while [ $i -lt $n ]; do
  echo "extern int total; void f$i(void) { total += $i; }" > f$i.c; echo "void f$i(void);" >> main.c; i=$((i + 1))
done
{ echo 'int main(void) {'; i=0; while [ $i -lt $n ]; do echo "f$i();"; i=$((i + 1)); done; echo 'printf("%d", total); return 0; }'; } >> main.c
make -s -j2
test "$(./run)" = $((n * (n - 1) / 2))
touch f0.c; test "$(make | grep -c gcc)" = 2
make | grep -q Nothing`,
  },
  {
    name: 'git',
    needs: needs('git'),
    script: `
git() { command git -c user.name=n -c user.email=n@example.com -c init.defaultBranch=main "$@"; }
mkdir repo; cd repo; git init -q; i=0
while [ $i -lt $SCALE ]; do
  mkdir d$i; j=0; while [ $j -lt 50 ]; do echo "$i $j" > d$i/$j; j=$((j + 1)); done; i=$((i + 1))
done
git add .; git commit -qm one; git clone -q --no-local "file://$PWD" ../clone; cd ../clone
echo changed > d0/0; git commit -qam two; git gc -q; git fsck --strict; git push -q origin HEAD:other
test -z "$(git status --porcelain)"; cd ../repo; test "$(git show other:d0/0)" = changed`,
  },
  {
    name: 'fio',
    needs: needs('fio'),
    script: `
fio --output="$LOCAL/fio" --name=w --filename=w --rw=randwrite --bs=4k-64k --size=$((4 * SCALE))m --verify=crc32c --verify_fatal=1 --end_fsync=1
fio --output="$LOCAL/fio" --name=m --filename=m --ioengine=mmap --rw=randrw --bs=4k --size=$((2 * SCALE))m --verify=crc32c --verify_fatal=1
fio --output="$LOCAL/fio" --name=r --filename=w --rw=randread --bs=32k --size=$((4 * SCALE))m --verify=crc32c --verify_only || true`,
  },
]

/** Runs one in `directory/NAME`; resolves with what it wrote when it failed. */
export async function runMountProgram(
  { name, script }: MountProgram,
  places: { readonly directory: string; readonly local: string },
  scale: number,
): Promise<string | undefined> {
  const setUp = `mkdir '${places.directory}/${name}' '${places.local}/${name}'; cd '${places.directory}/${name}'`
  const { status, stdout, stderr } = await run('sh', ['-exc', `${setUp}\n${script}`], {
    env: {
      SCALE: String(scale),
      SOURCE: `${repositoryRoot}/protocol`,
      LOCAL: `${places.local}/${name}`,
    },
  })
  return status === 0 ? undefined : `${stdout}\n${stderr}`.slice(-3000)
}
