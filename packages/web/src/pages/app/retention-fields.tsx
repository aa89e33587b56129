// Retention rules, and at once what they would do to the snapshots that are there.

import type { AppSnapshot, Retention } from '@varve/contract';
import type { ReactNode } from 'react';
import { applyRetention, retentionRules } from '../../domain/retention.ts';
import type { KeepReason } from '../../domain/retention.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { TextField } from '../../ui/field.tsx';
import { RetentionRows } from './retention-rows.tsx';

interface RetentionFieldsProps {
  readonly retention: Retention;
  readonly snapshots: readonly AppSnapshot[];
  readonly onChange: (retention: Retention) => void;
}

export function RetentionFields({ retention, snapshots, onChange }: RetentionFieldsProps): ReactNode {
  const { t } = useLocale();
  const keepsNone = retentionRules.every((rule) => retention[rule] === 0);
  return (
    <fieldset>
      <legend className="mb-1 font-semibold">{t('policy.retention')}</legend>
      <p className="mb-3 text-sm text-ink-2">{t('policy.retentionText')}</p>
      <div className="grid grid-cols-3 gap-3 sm:grid-cols-6">
        {retentionRules.map((rule) => (
          <TextField
            key={rule}
            label={t(`policy.${rule}`)}
            type="number"
            min={0}
            max={10_000}
            step={1}
            required
            className="numbers"
            value={retention[rule]}
            onChange={(event) => onChange({ ...retention, [rule]: wholeNumber(event.target.value) })}
          />
        ))}
      </div>
      {keepsNone ? (
        <p role="alert" className="mt-2 text-sm text-bad">
          {t('policy.keepNone')}
        </p>
      ) : (
        <Effect retention={retention} snapshots={snapshots} />
      )}
    </fieldset>
  );
}

function Effect({ retention, snapshots }: Omit<RetentionFieldsProps, 'onChange'>): ReactNode {
  const { t } = useLocale();
  const now = useNow();
  if (snapshots.length === 0) return null;
  const { keep, remove } = applyRetention(snapshots, retention, now);
  return (
    <div className="mt-4 rounded-lg border border-line bg-sunken/60 px-4 py-3 text-sm">
      <p role="status" className="numbers">
        {t('policy.effect')}: <strong>{t('policy.effectKeep', { count: keep.length })}</strong>,{' '}
        <strong className={remove.length > 0 ? 'text-warn' : ''}>
          {t('policy.effectRemove', { count: remove.length })}
        </strong>
        .
      </p>
      <p className="text-ink-2">{t('policy.effectHint')}</p>
      <details className="mt-2">
        <summary className="w-fit rounded font-medium text-accent">{t('policy.effectShow')}</summary>
        <RetentionRows
          keep={keep.map(({ snapshot, reasons }) => ({
            snapshot,
            reasons: reasons.map((reason) => t(`retention.reason.${reasonKeys[reason]}`)),
          }))}
          remove={remove}
        />
      </details>
    </div>
  );
}

const reasonKeys = {
  keepLast: 'last',
  keepHourly: 'hourly',
  keepDaily: 'daily',
  keepWeekly: 'weekly',
  keepMonthly: 'monthly',
  keepYearly: 'yearly',
  safety: 'safety',
  onlyComplete: 'onlyComplete',
} as const satisfies Record<KeepReason, string>;

function wholeNumber(text: string): number {
  const value = Math.trunc(Number(text));
  return Number.isFinite(value) && value >= 0 ? value : 0;
}
