// Language and theme of this browser.

import type { ReactNode } from 'react';
import { themes } from '../../app/account-menu.tsx';
import { useAppearance } from '../../app/appearance.tsx';
import { useLocale } from '../../i18n/locale.tsx';
import { languages } from '../../i18n/translate.ts';
import { Check } from '../../ui/field.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';

export function AppearanceSection(): ReactNode {
  const { t, language, setLanguage } = useLocale();
  const { theme, setTheme } = useAppearance();
  return (
    <Card id="appearance" className="p-5 sm:p-6" aria-labelledby="appearance-title">
      <CardHeading id="appearance-title">{t('settings.appearance')}</CardHeading>
      <p className="text-sm text-ink-2">{t('appearance.text')}</p>
      <div className="mt-5 grid gap-6 sm:grid-cols-2">
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-2 text-sm font-medium">{t('language.label')}</legend>
          {languages.map(({ code, name }) => (
            <Check
              key={code}
              type="radio"
              name="language"
              label={<span lang={code}>{name}</span>}
              checked={language === code}
              onChange={() => setLanguage(code)}
            />
          ))}
        </fieldset>
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-2 text-sm font-medium">{t('theme.label')}</legend>
          {themes.map((option) => (
            <Check
              key={option}
              type="radio"
              name="theme"
              label={t(`theme.${option}`)}
              checked={theme === option}
              onChange={() => setTheme(option)}
            />
          ))}
        </fieldset>
      </div>
    </Card>
  );
}
