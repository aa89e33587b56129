// How far back the strip looks: a day, a week, a month.

import type { ReactNode } from 'react';
import { useLocale } from '../../../i18n/locale.tsx';

const windows = [1, 7, 30] as const;
export type WindowDays = (typeof windows)[number];

interface WindowChoiceProps {
  readonly days: WindowDays;
  readonly onDays: (days: WindowDays) => void;
}

export function WindowChoice({ days, onDays }: WindowChoiceProps): ReactNode {
  const { t } = useLocale();
  return (
    <fieldset className="inline-flex rounded-md border border-line-strong/60 p-0.5">
      <legend className="sr-only">{t('reach.window')}</legend>
      {windows.map((one) => (
        <label
          key={one}
          className="relative inline-flex min-h-8 cursor-pointer items-center rounded px-2.5 text-sm text-ink-2 has-checked:bg-accent-soft has-checked:font-medium has-checked:text-ink has-focus-visible:outline-2 has-focus-visible:outline-offset-1 has-focus-visible:outline-accent"
        >
          <input
            type="radio"
            name="window"
            className="absolute inset-0 cursor-pointer opacity-0"
            checked={days === one}
            onChange={() => onDays(one)}
          />
          {t(`reach.window.${one}`)}
        </label>
      ))}
    </fieldset>
  );
}
