// The strip as a list: for reading aloud, for narrow screens, and for exact times.

import type { DatabaseTimeline } from '@varve/contract';
import type { ReactNode } from 'react';
import { useLocale } from '../../../i18n/locale.tsx';

interface Line {
  readonly from: string | null;
  readonly to: string | null;
  readonly what: string;
  readonly detail: string;
  readonly look: string;
}

export function MomentList({ database }: { readonly database: DatabaseTimeline }): ReactNode {
  const { t, format } = useLocale();
  const lines = useLines(database);
  if (lines.length === 0) return null;
  return (
    <details className="mt-4 text-sm">
      <summary className="inline-flex min-h-8 items-center rounded text-accent">{t('reach.list')}</summary>
      <ul className="mt-2 divide-y divide-line rounded-md border border-line">
        {lines.map(({ from, to, what, detail, look }, index) => (
          <li key={index} className="px-3 py-2">
            <span className={`font-medium ${look}`}>{what}</span>
            <span className="numbers block">
              {from === null ? '…' : format.moment(from)} – {to === null ? '…' : format.moment(to)}
            </span>
            {detail !== '' && <span className="block text-ink-2">{detail}</span>}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Newest first. */
function useLines({ ranges, gaps, unreachable, damaged }: DatabaseTimeline): Line[] {
  const { t } = useLocale();
  return [
    ...ranges.map(({ fromAt, toAt, branch, commits, clockSteps, timeline }) => ({
      from: fromAt,
      to: toAt,
      what: t(`reach.branch.${branch}`),
      detail: [
        t('reach.commits', { count: commits }),
        ...(branch === 'abandoned' ? [t('reach.leftText', { timeline })] : []),
        ...(clockSteps.length > 0 ? [t('reach.clockSteps', { count: clockSteps.length })] : []),
      ].join(' · '),
      look: branch === 'abandoned' ? '' : 'text-ok',
    })),
    ...gaps.map(({ fromAt, toAt, healedAt, reason }) => ({
      from: fromAt,
      to: toAt ?? healedAt,
      what: t('reach.legend.gap'),
      detail: t(`gap.${reason}`),
      look: 'text-bad',
    })),
    ...unreachable.map(({ fromAt, toAt }) => ({
      from: fromAt,
      to: toAt,
      what: t('reach.legend.waiting'),
      detail: t('reach.inWaiting'),
      look: 'text-warn',
    })),
    ...damaged.map(({ time, message }) => ({
      from: time,
      to: time,
      what: t('reach.damaged'),
      detail: message,
      look: 'text-bad',
    })),
  ].toSorted((a, b) => (b.from ?? b.to ?? '').localeCompare(a.from ?? a.to ?? ''));
}
