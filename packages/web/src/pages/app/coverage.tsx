// Which parts of the app a snapshot holds: a tick or a dash per kind, always with its name.

import type { Component } from '@varve/contract';
import { Check, Minus } from 'lucide-react';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';

const order: readonly Component['kind'][] = ['database', 'volume', 'code', 'config'];

export function Coverage({
  saved,
  expected,
}: {
  readonly saved: readonly Component['kind'][];
  readonly expected: readonly Component['kind'][];
}): ReactNode {
  const { t } = useLocale();
  const shown = order.filter((kind) => saved.includes(kind) || expected.includes(kind));
  return (
    <ul className="flex flex-wrap gap-1">
      {shown.map((kind) => {
        const has = saved.includes(kind);
        const component = t(`component.${kind}`);
        return (
          <li
            key={kind}
            title={has ? t('coverage.saved', { component }) : t('coverage.absent', { component })}
            className={`inline-flex items-center gap-1 rounded-full border px-2 text-[0.6875rem] leading-5 ${
              has ? 'border-line text-ink-2' : 'border-warn-mark/50 bg-warn-soft text-warn'
            }`}
          >
            {component}
            {has ? <Check size={12} aria-hidden="true" className="text-ok" /> : <Minus size={12} aria-hidden="true" />}
            <span className="sr-only">
              {has ? t('coverage.saved', { component }) : t('coverage.absent', { component })}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
