// Light, dark, or as the system: kept in this browser. public/theme.js applies it before the first paint.

import { useCallback, useEffect, useState } from 'react';
import { readSetting, writeSetting } from './browser-settings.ts';

export type Theme = 'system' | 'light' | 'dark';

const darkQuery = '(prefers-color-scheme: dark)';

function storedTheme(): Theme {
  const stored = readSetting('theme');
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

function applyTheme(theme: Theme): void {
  const dark = theme === 'dark' || (theme === 'system' && matchMedia(darkQuery).matches);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
}

/** The chosen theme, and how to choose another. Used once, at the root. */
export function useTheme(): readonly [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(storedTheme);
  useEffect(() => {
    applyTheme(theme);
    const media = matchMedia(darkQuery);
    const onChange = (): void => applyTheme(theme);
    media.addEventListener('change', onChange);
    return () => media.removeEventListener('change', onChange);
  }, [theme]);
  const choose = useCallback((next: Theme) => {
    writeSetting('theme', next === 'system' ? null : next);
    setTheme(next);
  }, []);
  return [theme, choose];
}
