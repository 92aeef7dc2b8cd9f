/** Metrics whose values somebody else keeps: they are read when Prometheus asks, and cost nothing in between. */
import { Counter, Gauge, type Registry } from 'prom-client'

/** A metric without labels: its name without the daemon's prefix, its help, and how it is read. */
export type Reading<Subject> = readonly [
  name: string,
  help: string,
  read: (subject: Subject) => number,
]

/** One sample of a metric with labels. */
export type Sample<Label extends string> = readonly [
  labels: Readonly<Record<Label, string>>,
  value: number,
]

/** A metric with labels; its samples are all there are. */
export interface LabelledReading<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly Label[]
  readonly read: () => Iterable<Sample<Label>>
}

/** The metrics of one registry that are read on demand. */
export class ScrapedMetrics {
  readonly #registers: Registry[]
  readonly #prefix: string

  /** @param prefix of every name, as `trefoil_namenode_` */
  constructor(registry: Registry, prefix: string) {
    this.#registers = [registry]
    this.#prefix = prefix
  }

  /** Values that go up and down. */
  gauges<Subject>(readings: readonly Reading<Subject>[], subject: () => Subject): void {
    for (const [name, help, read] of readings) {
      this.gauge({ name, help, labelNames: [], read: () => [[{}, read(subject())]] })
    }
  }

  /** Values that only go up; their names end in `_total`. */
  counters<Subject>(readings: readonly Reading<Subject>[], subject: () => Subject): void {
    for (const [name, help, read] of readings) {
      this.counter({ name, help, labelNames: [], read: () => [[{}, read(subject())]] })
    }
  }

  gauge<Label extends string>({ name, help, labelNames, read }: LabelledReading<Label>): void {
    const gauge: Gauge<Label> = new Gauge({
      ...{ name: `${this.#prefix}${name}`, help, labelNames, registers: this.#registers },
      collect: () => {
        gauge.reset()
        for (const [labels, value] of read()) gauge.set(labels, value)
      },
    })
  }

  counter<Label extends string>({ name, help, labelNames, read }: LabelledReading<Label>): void {
    const counter: Counter<Label> = new Counter({
      ...{ name: `${this.#prefix}${name}`, help, labelNames, registers: this.#registers },
      collect: () => {
        counter.reset()
        for (const [labels, value] of read()) counter.inc(labels, value)
      },
    })
  }
}
