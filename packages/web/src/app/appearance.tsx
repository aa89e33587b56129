// The theme, shared by the account menu and the settings page.

import { createContext, use, useMemo } from 'react';
import type { ReactNode } from 'react';
import { useTheme } from '../ui/theme.ts';
import type { Theme } from '../ui/theme.ts';

interface Appearance {
  readonly theme: Theme;
  readonly setTheme: (theme: Theme) => void;
}

const AppearanceContext = createContext<Appearance | undefined>(undefined);

export function AppearanceProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [theme, setTheme] = useTheme();
  const value = useMemo(() => ({ theme, setTheme }), [theme, setTheme]);
  return <AppearanceContext value={value}>{children}</AppearanceContext>;
}

export function useAppearance(): Appearance {
  const appearance = use(AppearanceContext);
  if (appearance === undefined) throw new Error('useAppearance outside of AppearanceProvider');
  return appearance;
}
