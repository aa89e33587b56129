// What goes, then what stays, each with its reason.

import type { AppSnapshot } from '@varve/contract';
import { ArchiveX, ShieldCheck } from 'lucide-react';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { DateTime } from '../../ui/time.tsx';
import { KindMark } from './kind-mark.tsx';

interface RetentionRowsProps {
  readonly keep: readonly { readonly snapshot: AppSnapshot; readonly reasons: readonly string[] }[];
  readonly remove: readonly AppSnapshot[];
}

export function RetentionRows({ keep, remove }: RetentionRowsProps): ReactNode {
  const { t, format } = useLocale();
  const rows = [
    ...remove.map((snapshot) => ({ snapshot, reasons: [t('retention.noRule')], goes: true })),
    ...keep.map(({ snapshot, reasons }) => ({ snapshot, reasons, goes: false })),
  ];
  return (
    <ul
      className="mt-3 max-h-80 divide-y divide-line overflow-y-auto rounded-md border border-line bg-surface"
      tabIndex={0}
      aria-label={t('policy.effectShow')}
    >
      {rows.map(({ snapshot, reasons, goes }) => (
        <li key={snapshot.id} className="flex items-start gap-3 px-3 py-2 text-sm">
          {goes ? (
            <ArchiveX size={16} aria-hidden="true" className="mt-0.5 shrink-0 text-bad" />
          ) : (
            <ShieldCheck size={16} aria-hidden="true" className="mt-0.5 shrink-0 text-ok" />
          )}
          <span className="sr-only">{goes ? t('retention.remove') : t('retention.keep')}:</span>
          <div className="min-w-0 flex-1">
            <span className="flex flex-wrap items-center gap-x-2">
              <DateTime at={snapshot.time} className={goes ? 'line-through' : 'font-medium'} />
              <KindMark kind={snapshot.kind} size={10} />
              <span className="text-ink-2">{snapshot.name ?? t(`kind.${snapshot.kind}`)}</span>
            </span>
            <span className={`block text-xs ${goes ? 'text-bad' : 'text-ink-2'}`}>
              {goes ? t('retention.remove') : t('retention.keep')}: {format.list(reasons)}
            </span>
          </div>
        </li>
      ))}
    </ul>
  );
}
