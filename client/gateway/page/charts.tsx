import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { HistoryView, SampleView } from '../api/views.ts'
import { size } from './format.ts'

interface Line {
  readonly name: string
  /** null where there is nothing to measure. */
  readonly value: (sample: SampleView) => number | null
}

interface ChartSpec {
  readonly title: string
  readonly lines: readonly Line[]
  readonly text: (value: number) => string
}

const perSecond =
  (read: (sample: SampleView) => number) =>
  (sample: SampleView): number =>
    (read(sample) * 1000) / sample.spanMs

const rate = (value: number): string => `${size(value)}/s`
const count = (value: number): string => Math.round(value).toLocaleString('en')

const specs: readonly ChartSpec[] = [
  {
    title: 'Throughput of the datanodes',
    text: rate,
    lines: [
      { name: 'received', value: perSecond(({ receivedBytes }) => receivedBytes) },
      { name: 'sent', value: perSecond(({ sentBytes }) => sentBytes) },
    ],
  },
  {
    title: 'Latency of the namenode',
    text: (micros) =>
      micros < 1000 ? `${Math.round(micros)} µs` : `${(micros / 1000).toFixed(1)} ms`,
    lines: [
      { name: 'calls, 99 of 100 within', value: ({ callP99Micros }) => callP99Micros },
      { name: 'syncs, 99 of 100 within', value: ({ syncP99Micros }) => syncP99Micros },
    ],
  },
  {
    title: 'Calls of clients',
    text: (value) => `${value < 10 ? value.toFixed(1) : count(value)}/s`,
    lines: [{ name: 'calls', value: perSecond(({ calls }) => calls) }],
  },
  {
    title: 'Speed of repair',
    text: rate,
    lines: [{ name: 'copied', value: perSecond(({ copiedBytes }) => copiedBytes) }],
  },
  {
    title: 'Blocks with too few replicas',
    text: count,
    lines: [
      { name: 'too few', value: ({ lowRedundancyBlocks }) => lowRedundancyBlocks },
      { name: 'in danger', value: ({ endangeredBlocks }) => endangeredBlocks },
    ],
  },
]

/** The last hour as the namenode measured it. */
export function Charts({ history }: { readonly history: HistoryView }): JSX.Element {
  return (
    <>
      <h2>The last hour</h2>
      {history.samples.length === 0 ? (
        <p class="note">The namenode has just started: there is nothing to draw yet.</p>
      ) : (
        <div class="charts">
          {specs.map((spec) => (
            <Chart key={spec.title} spec={spec} history={history} />
          ))}
        </div>
      )}
    </>
  )
}

const lineClasses = ['first', 'second'] as const

function Chart({ spec, history }: { readonly spec: ChartSpec; readonly history: HistoryView }) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const theme = useThemeChanges()
  const latest = useRef(history)
  latest.current = history
  useEffect(() => {
    let isGone = false
    let observer: ResizeObserver | undefined
    void import('uplot').then(({ default: Plot }) => {
      const element = box.current
      if (isGone || element === null) return
      const drawn = new Plot(optionsOf(spec, element), dataOf(spec, latest.current), element)
      plot.current = drawn
      observer = new ResizeObserver(() => {
        drawn.setSize({ width: element.clientWidth, height: plotHeight })
      })
      observer.observe(element)
    })
    return () => {
      isGone = true
      observer?.disconnect()
      plot.current?.destroy()
      plot.current = null
    }
  }, [spec, theme])
  useEffect(() => {
    plot.current?.setData(dataOf(spec, history))
  }, [spec, history])
  return (
    <section class="card chart" aria-label={spec.title}>
      <h3>{spec.title}</h3>
      <div class="plot" role="img" aria-label={summaryOf(spec, history.samples)} ref={box} />
      <ul class="legend">
        {spec.lines.map(({ name, value }, index) => (
          <li key={name} class={lineClasses[index]}>
            <i aria-hidden="true" />
            {name}: {textOf(spec, value, history.samples.at(-1))}
          </li>
        ))}
      </ul>
    </section>
  )
}

function textOf(spec: ChartSpec, value: Line['value'], sample: SampleView | undefined): string {
  const now = sample === undefined ? null : value(sample)
  return now === null ? 'none' : spec.text(now)
}

/** What the drawing shows, in words: it is a picture for a screen reader. */
function summaryOf(spec: ChartSpec, samples: readonly SampleView[]): string {
  const lines = spec.lines.map(({ name, value }) => {
    const values = samples.map(value).filter((one) => one !== null)
    const highest = values.length === 0 ? 'none' : spec.text(Math.max(...values))
    return `${name} now ${textOf(spec, value, samples.at(-1))}, at most ${highest}`
  })
  return `${spec.title} over the last hour: ${lines.join('; ')}`
}

/** Columns for the plot. Where samples are missing there is a hole, not a line across it. */
function dataOf(
  { lines }: ChartSpec,
  { samples, periodMs, spanMs }: HistoryView,
): uPlot.AlignedData {
  const times: number[] = []
  const columns = lines.map((): (number | null)[] => [])
  const put = (atMs: number, values: readonly (number | null)[]): void => {
    times.push(atMs / 1000)
    for (const [index, column] of columns.entries()) column.push(values[index] ?? null)
  }
  const newestMs = samples.at(-1)?.atMs ?? 0
  put(newestMs - spanMs, [])
  let lastMs = newestMs
  for (const sample of samples) {
    if (sample.atMs - sample.spanMs - lastMs > periodMs) put(sample.atMs - sample.spanMs, [])
    put(
      sample.atMs,
      lines.map(({ value }) => value(sample)),
    )
    lastMs = sample.atMs
  }
  return [times, ...columns]
}

const plotHeight = 160

function optionsOf(spec: ChartSpec, element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element)
  const colour = (name: string): string => resolved(element, style.getPropertyValue(name))
  const axis = {
    stroke: colour('--soft'),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  }
  return {
    width: element.clientWidth,
    height: plotHeight,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, values: '{HH}:{mm}' },
      { ...axis, size: 78, values: (_plot, values) => values.map((value) => spec.text(value)) },
    ],
    series: [
      {},
      ...spec.lines.map(({ name }, index) => ({
        ...{ label: name, width: 1.5, points: { show: false } },
        stroke: colour(index === 0 ? '--accent' : '--second'),
      })),
    ],
  }
}

/** A canvas does not know `light-dark()`; the browser resolves it for an element. */
function resolved(element: HTMLElement, value: string): string {
  const before = element.style.color
  element.style.color = value
  const { color } = getComputedStyle(element)
  element.style.color = before
  return color
}

/** Changes with the colours, whoever changed them. */
function useThemeChanges(): number {
  const [version, setVersion] = useState(0)
  useEffect(() => {
    const changed = (): void => setVersion((before) => before + 1)
    const system = matchMedia('(prefers-color-scheme: dark)')
    const visitor = new MutationObserver(changed)
    visitor.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    system.addEventListener('change', changed)
    return () => {
      visitor.disconnect()
      system.removeEventListener('change', changed)
    }
  }, [])
  return version
}
