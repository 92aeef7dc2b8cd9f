import t from 'tap'
import { ReportWaits } from '../../../namenode/shell/report-waits.ts'
import { blockId } from '../../../protocol/ids.ts'
import { ManualTime } from '../../support/manual-time.ts'

const first = blockId(1)
const second = blockId(2)

t.test('replicasChanged() resumes each wait once, also when those resumed wait again', (t) => {
  const waits = new ReportWaits(new ManualTime())
  let resumed = 0
  const again = (): void => {
    resumed += 1
    if (resumed < 10) waits.wait([first], 1000, again)
  }
  waits.wait([first], 1000, again)
  waits.wait([first], 1000, again)
  waits.replicasChanged([first])
  t.equal(resumed, 2)
  t.equal(waits.count, 2)
  waits.replicasChanged([second])
  t.equal(resumed, 2, 'another block is none of their business')
  t.end()
})

t.test('a wait for several blocks is resumed once', (t) => {
  const waits = new ReportWaits(new ManualTime())
  const tries: boolean[] = []
  waits.wait([first, second], 1000, (isLastTry) => tries.push(isLastTry))
  waits.replicasChanged([first, second])
  t.strictSame(tries, [false])
  t.equal(waits.count, 0)
  t.end()
})

t.test('a wait ends with its time, or with all the others', async (t) => {
  const time = new ManualTime()
  const waits = new ReportWaits(time)
  const tries: string[] = []
  waits.wait([first], 1000, (isLastTry) => tries.push(`first ${isLastTry}`))
  await time.advance(1000)
  t.strictSame(tries, ['first true'])
  waits.wait([first], 1000, () => tries.push('second'))
  waits.wait([second], 1000, () => tries.push('third'))
  waits.endAll()
  t.strictSame(tries, ['first true', 'second', 'third'])
  t.equal(waits.count, 0)
})
