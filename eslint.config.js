import tseslint from 'typescript-eslint'

const clockAndChance = [
  { name: 'Date', message: 'A core gets `now` as an argument.' },
  { name: 'performance', message: 'A core gets `now` as an argument.' },
  { name: 'crypto', message: 'A core gets its randomness from the Prng it is given.' },
  { name: 'setTimeout', message: 'A core has no timers: the shell calls tick(now).' },
  { name: 'setInterval', message: 'A core has no timers: the shell calls tick(now).' },
  { name: 'setImmediate', message: 'A core runs to completion.' },
  { name: 'queueMicrotask', message: 'A core runs to completion.' },
  { name: 'process', message: 'A core does no I/O.' },
  { name: 'console', message: 'A core does no I/O.' },
]

const asynchrony = [
  { selector: ':function[async=true]', message: 'A core runs to completion: no async.' },
  { selector: 'AwaitExpression', message: 'A core runs to completion: no await.' },
  { selector: 'ImportDeclaration[source.value=/^node:/]', message: 'A core imports no node: module.' },
  {
    selector: "MemberExpression[object.name='Math'][property.name='random']",
    message: 'A core gets its randomness from the Prng it is given.',
  },
  {
    selector: "MemberExpression[property.name='localeCompare']",
    message: 'Orders must not depend on the locale.',
  },
]

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tap/', '**/*.mjs', 'eslint.config.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/prefer-readonly': 'error',
      'max-lines': ['error', { max: 500, skipComments: true, skipBlankLines: true }],
      'max-lines-per-function': ['error', { max: 70, skipComments: true, skipBlankLines: true }],
      'max-params': ['error', 5],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
    },
  },
  {
    files: ['*/core/**/*.ts'],
    ignores: ['test/**'],
    rules: {
      'no-restricted-globals': ['error', ...clockAndChance],
      'no-restricted-syntax': ['error', ...asynchrony],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafePromises: [
            { from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' },
          ],
        },
      ],
      // A tap subtest without a promise would have to call t.end().
      '@typescript-eslint/require-await': 'off',
      'max-lines-per-function': 'off',
      'max-lines': ['error', { max: 900, skipComments: true, skipBlankLines: true }],
    },
  },
)
