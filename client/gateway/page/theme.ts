/** Light or dark: the system's choice until the visitor makes one. */
export type Theme = 'light' | 'dark'

const key = 'trefoil-theme'

/** What is shown now. */
export function currentTheme(): Theme {
  const chosen = localStorage.getItem(key)
  if (chosen === 'light' || chosen === 'dark') return chosen
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
}

/** Puts the visitor's choice, if there is one, over the system's. */
export function applyTheme(): void {
  const chosen = localStorage.getItem(key)
  if (chosen !== null) document.documentElement.dataset['theme'] = chosen
}

/** Remembers a choice and shows it. */
export function chooseTheme(theme: Theme): void {
  localStorage.setItem(key, theme)
  applyTheme()
}
