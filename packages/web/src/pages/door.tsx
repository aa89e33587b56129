// The frame of the pages before somebody is signed in: the layers on one side, a form on the other.

import type { ReactNode } from 'react';
import { useLocale } from '../i18n/locale.tsx';
import { languages } from '../i18n/translate.ts';
import { Logo } from '../ui/logo.tsx';
import { StrataSection } from '../ui/strata.tsx';

export function Door({ title, text, children }: { title: string; text?: string; children: ReactNode }): ReactNode {
  const { t, language, setLanguage } = useLocale();
  return (
    <div className="flex min-h-dvh flex-col lg:flex-row">
      <div className="relative h-20 shrink-0 overflow-hidden lg:h-auto lg:w-[42%]">
        <StrataSection repeat={3} className="h-full min-h-20" />
      </div>
      <div className="flex flex-1 flex-col px-5 py-8 sm:px-10 lg:px-16">
        <div className="flex items-center justify-between">
          <Logo />
          <div className="flex gap-1" role="group" aria-label={t('language.label')}>
            {languages.map(({ code, name }) => (
              <button
                key={code}
                type="button"
                lang={code}
                aria-pressed={language === code}
                onClick={() => setLanguage(code)}
                className="rounded-md px-2.5 py-1.5 text-sm text-ink-2 hover:text-ink aria-pressed:bg-accent-soft aria-pressed:font-semibold aria-pressed:text-accent"
              >
                {name}
              </button>
            ))}
          </div>
        </div>
        <main className="flex w-full max-w-md flex-1 flex-col justify-center py-10 lg:mx-auto">
          <p className="mb-2 text-sm text-ink-2">{t('app.tagline')}</p>
          <h1 className="text-2xl font-semibold tracking-tight sm:text-3xl">{title}</h1>
          {text !== undefined && <p className="mt-2 text-ink-2">{text}</p>}
          <div className="mt-7">{children}</div>
        </main>
      </div>
    </div>
  );
}
