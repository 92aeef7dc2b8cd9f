import type { DatanodeStatus, NamenodeStatus } from './status.ts'

const refreshSeconds = 5
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

const style = `
:root { color-scheme: light dark; --line: #8884; --dim: #888; --good: #2a8f4f; --bad: #c9372c }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.2rem auto; max-width: 62rem; padding: 0 1rem }
h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .6rem; margin: 0 }
dl div { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .6rem }
dt { color: var(--dim); font-size: .8rem } dd { margin: 0; font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left; white-space: nowrap }
th { color: var(--dim); font-weight: normal; font-size: .8rem }
.good { color: var(--good) } .bad { color: var(--bad); font-weight: 600 } footer { color: var(--dim); margin: 2rem 0 }
`

/** The status page: plain HTML without scripts or anything fetched from elsewhere. */
export function statusPage(status: NamenodeStatus): string {
  const { namespace, capacity, blocks, journal, checkpoint, datanodes } = status
  const isWhole = blocks.missing === 0 && blocks.corrupt === 0
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Trefoil namenode</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${refreshSeconds}"><style>${style}</style></head><body>
<h1>Trefoil namenode ${escaped(status.addresses['rpc'] ?? '')}</h1>
${safeModeLine(status)}
<h2>Space</h2>
${facts([
  ['Capacity', bytes(capacity.totalBytes)],
  ['Used', `${bytes(capacity.usedBytes)} (${percent(capacity.usedBytes, capacity.totalBytes)})`],
  ['Remaining', bytes(capacity.remainingBytes)],
  ['Files', namespace.files],
  ['Directories', namespace.directories],
  ['Open files', namespace.openFiles],
])}
<h2>Blocks</h2>
${facts([
  ['Blocks', namespace.blocks],
  ['Under-replicated', blocks.underReplicated],
  ['Missing', verdict(blocks.missing, blocks.missing === 0)],
  ['Corrupt', verdict(blocks.corrupt, isWhole || blocks.corrupt === 0)],
  ['Copies under way', blocks.pendingCopies],
  ['Deletions pending', blocks.pendingDeletions],
])}
<h2>Datanodes</h2>
${datanodeTable(datanodes)}
<h2>Journal and checkpoint</h2>
${facts([
  ['Journal', journal.txid],
  ['Durable', journal.durableTxid],
  ['In the database', checkpoint.txid],
  ['Not yet folded', checkpoint.lagTransactions],
  ['Segments', journal.segments.length],
  ['Inodes in memory', namespace.residentInodes],
])}
<footer>Trefoil ${escaped(status.version)} · cluster ${escaped(status.clusterId)} ·
up ${duration(status.uptimeMs)} · <a href="/status.json">JSON</a> · <a href="/metrics">metrics</a></footer>
</body></html>
`
}

function safeModeLine(status: NamenodeStatus): string {
  const { safeMode, blocks, isBlockLoadingDone, disk } = status
  const lines: string[] = []
  if (disk.isLow) {
    lines.push("Changes are refused: the namenode's disk is nearly full. Free space there.")
  }
  if (safeMode === 'manual') lines.push('Safe mode is on: an operator turned it on.')
  if (safeMode === 'pending-threshold') {
    lines.push('Starting: waiting for datanodes to report enough blocks.')
  }
  if (!isBlockLoadingDone) lines.push('Block rows are still being loaded.')
  if (blocks.isRepairPaused) {
    lines.push('Repair is paused: too many datanodes vanished at once.')
  }
  return lines.map((line) => `<p class="bad">${line}</p>`).join('\n')
}

function datanodeTable(datanodes: readonly DatanodeStatus[]): string {
  if (datanodes.length === 0) return '<p class="bad">No datanode has registered.</p>'
  const rows = datanodes.map(
    (node) => `<tr><td>${escaped(node.address)}</td><td>${escaped(node.rack)}</td>
<td>${verdict(livenessText(node), node.liveness === 'live' && node.isSteady)}</td><td>${escaped(node.adminState)}</td>
<td>${bytes(node.usedBytes)}</td><td>${bytes(node.remainingBytes)}</td><td>${node.replicas}</td>
<td>${duration(node.silenceMs)} ago</td></tr>`,
  )
  return `<div class="scroll"><table><thead><tr><th>Address</th><th>Rack</th><th>State</th><th>Admin</th>
<th>Used</th><th>Remaining</th><th>Replicas</th><th>Heard of</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`
}

function livenessText({ liveness, isSteady }: DatanodeStatus): string {
  return isSteady ? escaped(liveness) : `${escaped(liveness)}, unsteady`
}

function facts(rows: readonly (readonly [string, string | number])[]): string {
  const items = rows.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`)
  return `<dl>${items.join('')}</dl>`
}

function verdict(value: string | number, isGood: boolean): string {
  return `<span class="${isGood ? 'good' : 'bad'}">${value}</span>`
}

function bytes(count: number): string {
  let scaled = count
  let unit = 0
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024
    unit += 1
  }
  return `${unit === 0 ? scaled : scaled.toFixed(1)} ${units[unit] ?? ''}`
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((100 * part) / whole).toFixed(1)} %`
}

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`
}

function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  }
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? '')
}
