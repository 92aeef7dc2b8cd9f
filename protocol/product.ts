/** What daemons call themselves on status pages and to administrators. */

/** Version of the package, as in package.json. */
export const productVersion = '0.2.0'
