import { readFileSync } from 'node:fs'

/** Numeric id the kernel shows for names that this machine does not know. */
const nobody = 65534

/** Translation between the cluster's user and group names and this machine's numeric ids. */
export interface Identities {
  uidOf(user: string): number
  gidOf(group: string): number
  /** Name of a numeric id, or the number as text where the machine has no name for it. */
  userOf(uid: number): string
  groupOf(gid: number): string
}

interface NameTable {
  readonly idByName: ReadonlyMap<string, number>
  readonly nameById: ReadonlyMap<number, string>
}

function readTable(file: string): NameTable {
  const rows = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length > 2)
    .map(([name = '', , id = '']) => ({ name, id: Number(id) }))
  return {
    idByName: new Map(rows.map(({ name, id }) => [name, id])),
    nameById: new Map(rows.map(({ name, id }) => [id, name])),
  }
}

/** The same, with everything shown as one user's or group's where that is given. */
export function shownAs(
  identities: Identities,
  { uid, gid }: { readonly uid: number | undefined; readonly gid: number | undefined },
): Identities {
  return {
    uidOf: (user) => uid ?? identities.uidOf(user),
    gidOf: (group) => gid ?? identities.gidOf(group),
    userOf: (id) => identities.userOf(id),
    groupOf: (id) => identities.groupOf(id),
  }
}

/** The number that a name is which this machine had no name for. */
function numberOf(name: string): number {
  return /^\d{1,10}$/.test(name) && Number(name) < 2 ** 32 - 1 ? Number(name) : nobody
}

/** Reads the machine's user and group tables (passwd(5), group(5)). */
export function localIdentities(passwd = '/etc/passwd', group = '/etc/group'): Identities {
  const users = readTable(passwd)
  const groups = readTable(group)
  return {
    uidOf: (user) => users.idByName.get(user) ?? numberOf(user),
    gidOf: (name) => groups.idByName.get(name) ?? numberOf(name),
    userOf: (uid) => users.nameById.get(uid) ?? String(uid),
    groupOf: (gid) => groups.nameById.get(gid) ?? String(gid),
  }
}
