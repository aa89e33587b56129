// Editing the policy: the schedule with its next runs, consistency, retention with what it would do to today's snapshots.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { App, AppSnapshot, Policy } from '@varve/contract';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import { nextRuns, schedulePresets, scheduleWords } from '../../domain/schedule.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { Check, SelectField, TextField } from '../../ui/field.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { PointInTimeFields } from './point-in-time-fields.tsx';
import { RetentionFields } from './retention-fields.tsx';

interface PolicyDialogProps {
  readonly app: App;
  readonly snapshots: readonly AppSnapshot[];
  readonly onClose: () => void;
}

export function PolicyDialog({ app, snapshots, onClose }: PolicyDialogProps): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const now = useNow();
  const [policy, setPolicy] = useState(app.policy);
  const save = useMutation({
    mutationFn: () => api.updatePolicy(app.id, policy),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.app(app.id) });
      await client.invalidateQueries({ queryKey: keys.apps });
      onClose();
    },
  });
  const runs = nextRuns({ ...policy.schedule, now, count: 3 });
  const keepsNone = Object.values(policy.retention).every((count) => count === 0);
  const invalid = keepsNone || (policy.schedule.enabled && runs.length === 0);
  const hasDatabase = app.components.some(({ kind }) => kind === 'database');
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (!invalid) save.mutate();
  };
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={`${t('policy.title')} · ${app.name}`} wide>
      <form onSubmit={submit} className="flex flex-col gap-7">
        <ScheduleFields policy={policy} onChange={setPolicy} runs={runs} now={now} />
        <ConsistencyFields policy={policy} onChange={setPolicy} />
        <RetentionFields
          retention={policy.retention}
          snapshots={snapshots}
          onChange={(retention) => setPolicy({ ...policy, retention })}
        />
        {hasDatabase && <PointInTimeFields policy={policy} onChange={setPolicy} />}
        <fieldset>
          <legend className="mb-2 font-semibold">{t('policy.alert')}</legend>
          <div className="max-w-64">
            <TextField
              label={`${t('policy.alertAfter')} (${t('policy.hours')})`}
              type="number"
              min={1}
              max={8760}
              required
              value={policy.alertAfterHours}
              onChange={(event) => setPolicy({ ...policy, alertAfterHours: Number(event.target.value) })}
            />
          </div>
        </fieldset>
        {save.isError && <ProblemNotice problem={save.error} />}
        <DialogActions>
          <Button onClick={onClose}>{t('action.cancel')}</Button>
          <Button type="submit" look="primary" disabled={save.isPending || invalid}>
            {save.isPending ? t('action.saving') : t('action.save')}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

interface PolicyFieldsProps {
  readonly policy: Policy;
  readonly onChange: (policy: Policy) => void;
}

function ScheduleFields({
  policy,
  onChange,
  runs,
  now,
}: PolicyFieldsProps & { readonly runs: readonly Date[]; readonly now: number }): ReactNode {
  const { t, format } = useLocale();
  const { schedule } = policy;
  const change = (changes: Partial<Policy['schedule']>): void =>
    onChange({ ...policy, schedule: { ...schedule, ...changes } });
  const [own, setOwn] = useState(!schedulePresets.includes(schedule.cron));
  const zoneKnown = isTimeZone(schedule.timeZone);
  return (
    <fieldset className="flex flex-col gap-4">
      <legend className="mb-2 font-semibold">{t('policy.schedule')}</legend>
      <Check
        label={t('policy.on')}
        checked={schedule.enabled}
        onChange={(event) => change({ enabled: event.target.checked })}
      />
      {schedule.enabled && (
        <div className="grid gap-4 sm:grid-cols-2">
          <SelectField
            label={t('policy.how')}
            value={own ? 'own' : schedule.cron}
            onChange={(event) => {
              setOwn(event.target.value === 'own');
              if (event.target.value !== 'own') change({ cron: event.target.value });
            }}
          >
            {schedulePresets.map((cron) => (
              <option key={cron} value={cron}>
                {scheduleWords(cron, t, format)}
              </option>
            ))}
            <option value="own">{t('policy.custom')}</option>
          </SelectField>
          <TextField
            label={t('policy.timeZone')}
            list="time-zones"
            required
            spellCheck={false}
            error={zoneKnown ? undefined : t('policy.timeZoneInvalid')}
            value={schedule.timeZone}
            onChange={(event) => change({ timeZone: event.target.value })}
          />
          <datalist id="time-zones">
            {['UTC', ...Intl.supportedValuesOf('timeZone')].map((zone) => (
              <option key={zone} value={zone}>
                {zone}
              </option>
            ))}
          </datalist>
          {own && (
            <TextField
              label={t('policy.cron')}
              hint={t('policy.cronHint')}
              error={zoneKnown && runs.length === 0 ? t('policy.cronInvalid') : undefined}
              required
              spellCheck={false}
              className="font-mono"
              value={schedule.cron}
              onChange={(event) => change({ cron: event.target.value })}
            />
          )}
          {runs.length > 0 && (
            <div>
              <p className="mb-1 text-sm font-medium">{t('policy.nextRuns')}</p>
              <ul className="numbers text-sm text-ink-2">
                {runs.map((run) => (
                  <li key={run.getTime()}>{format.when(run.getTime(), now)}</li>
                ))}
              </ul>
            </div>
          )}
        </div>
      )}
    </fieldset>
  );
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}

const consistencies: readonly Policy['consistency'][] = ['live', 'pause', 'stop'];

function ConsistencyFields({ policy, onChange }: PolicyFieldsProps): ReactNode {
  const { t } = useLocale();
  return (
    <fieldset className="flex flex-col gap-3">
      <legend className="mb-2 font-semibold">{t('policy.consistency')}</legend>
      {consistencies.map((consistency) => (
        <Check
          key={consistency}
          type="radio"
          name="consistency"
          label={t(`consistency.${consistency}`)}
          text={t(`consistency.${consistency}Text`)}
          checked={policy.consistency === consistency}
          onChange={() => onChange({ ...policy, consistency })}
        />
      ))}
    </fieldset>
  );
}
