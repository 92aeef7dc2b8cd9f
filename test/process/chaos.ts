/** `npm run chaos`: the kill -9 rounds of test/process/kill.test.ts, fifty of them unless CHAOS_ROUNDS says otherwise. */
process.env['CHAOS_ROUNDS'] ??= '50'
process.env['TAP_TIMEOUT'] ??= '7200'
await import('./kill.test.ts')

export {}
