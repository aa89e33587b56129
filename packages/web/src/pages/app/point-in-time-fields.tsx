// How far back any second can be reached, and how far the repository may lag behind.

import type { Policy } from '@varve/contract';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { TextField } from '../../ui/field.tsx';

interface PointInTimeFieldsProps {
  readonly policy: Policy;
  readonly onChange: (policy: Policy) => void;
}

export function PointInTimeFields({ policy, onChange }: PointInTimeFieldsProps): ReactNode {
  const { t } = useLocale();
  const { pointInTime } = policy;
  const change = (changes: Partial<Policy['pointInTime']>): void =>
    onChange({ ...policy, pointInTime: { ...pointInTime, ...changes } });
  return (
    <fieldset>
      <legend className="mb-2 font-semibold">{t('reach.title')}</legend>
      <div className="grid gap-4 sm:grid-cols-2">
        <TextField
          label={t('policy.windowDays')}
          hint={t('policy.windowHint')}
          type="number"
          min={1}
          max={3650}
          required
          value={pointInTime.windowDays}
          onChange={(event) => change({ windowDays: Number(event.target.value) })}
        />
        <TextField
          label={t('policy.commitSeconds')}
          hint={t('policy.commitHint')}
          type="number"
          min={1}
          max={3600}
          step={1}
          required
          value={pointInTime.commitSeconds}
          onChange={(event) => change({ commitSeconds: Number(event.target.value) })}
        />
      </div>
    </fieldset>
  );
}
