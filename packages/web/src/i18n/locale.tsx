// The reader's language and time: chosen from the browser, switchable, kept in this browser.

import { createContext, use, useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import type { ReactNode } from 'react';
import { createFormat } from './format.ts';
import type { Format } from './format.ts';
import type { Translate } from './messages.ts';
import { createTranslate, localeFor, preferredLanguage } from './translate.ts';
import type { Language } from './translate.ts';
import { readSetting, writeSetting } from '../ui/browser-settings.ts';

export interface Locale {
  readonly language: Language;
  readonly setLanguage: (language: Language) => void;
  readonly t: Translate;
  readonly format: Format;
}

const LocaleContext = createContext<Locale | undefined>(undefined);

function initialLanguage(): Language {
  const stored = readSetting('language');
  return stored === 'en' || stored === 'es' ? stored : preferredLanguage(navigator.languages);
}

export function LocaleProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [language, setLanguage] = useState(initialLanguage);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const change = useCallback((next: Language) => {
    writeSetting('language', next);
    setLanguage(next);
  }, []);
  const value = useMemo(() => {
    const locale = localeFor(language, navigator.languages);
    const t = createTranslate(language, locale);
    return { language, setLanguage: change, t, format: createFormat({ locale, t }) };
  }, [language, change]);
  return <LocaleContext value={value}>{children}</LocaleContext>;
}

/** Language, texts and formats of the reader. */
export function useLocale(): Locale {
  const locale = use(LocaleContext);
  if (locale === undefined) throw new Error('useLocale outside of LocaleProvider');
  return locale;
}

const tickMs = 10_000;

/** The present time, moved on every ten seconds so that "12 minutes ago" stays true. */
export function useNow(): number {
  return useSyncExternalStore(subscribeToTicks, currentTick);
}

function subscribeToTicks(onTick: () => void): () => void {
  const timer = setInterval(onTick, tickMs);
  return () => clearInterval(timer);
}

function currentTick(): number {
  return Math.ceil(Date.now() / tickMs) * tickMs;
}
