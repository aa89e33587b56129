// What is done for the repository without being asked: how often it is checked, how soon all data is read, whether space is given
// back.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { MaintenanceSettings } from '@varve/contract';
import { useState, type FormEvent, type ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys, queries } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { Check, SelectField } from '../../ui/field.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { Skeleton } from '../../ui/surface.tsx';

const checkDays = [1, 7, 14, 30];
const dataDays = [28, 90, 180, 365];

export function MaintenanceDialog({ onClose }: { readonly onClose: () => void }): ReactNode {
  const { t } = useLocale();
  const settings = useQuery(queries.settings());
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={t('maintenance.title')}
      description={t('maintenance.text')}
    >
      {settings.isPending && <Skeleton rows={3} label={t('loading')} />}
      {settings.isError && <ProblemNotice problem={settings.error} onRetry={() => void settings.refetch()} />}
      {settings.data !== undefined && <MaintenanceForm stored={settings.data.maintenance} onClose={onClose} />}
    </Dialog>
  );
}

function MaintenanceForm({
  stored,
  onClose,
}: {
  readonly stored: MaintenanceSettings;
  readonly onClose: () => void;
}): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const [wanted, setWanted] = useState(stored);
  const change = (changes: Partial<MaintenanceSettings>): void => setWanted({ ...wanted, ...changes });
  const save = useMutation({
    mutationFn: () => api.updateSettings({ maintenance: wanted }),
    onSuccess: async (settings) => {
      client.setQueryData(keys.settings, settings);
      await client.invalidateQueries({ queryKey: keys.maintenance });
      onClose();
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    save.mutate();
  };
  const parts = Math.ceil(wanted.readDataDays / wanted.checkEveryDays);
  return (
    <form onSubmit={submit} className="flex flex-col gap-4">
      <Check
        label={t('maintenance.check')}
        text={t('maintenance.checkText')}
        checked={wanted.check}
        onChange={(event) => change({ check: event.target.checked })}
      />
      {wanted.check && (
        <div className="grid gap-4 pl-7 sm:grid-cols-2">
          <SelectField
            label={t('maintenance.every')}
            value={wanted.checkEveryDays}
            onChange={(event) => change({ checkEveryDays: Number(event.target.value) })}
          >
            {withValue(checkDays, wanted.checkEveryDays).map((days) => (
              <option key={days} value={days}>
                {t('maintenance.everyDays', { count: days })}
              </option>
            ))}
          </SelectField>
          <SelectField
            label={t('maintenance.readData')}
            value={wanted.readDataDays}
            hint={
              wanted.readDataDays === 0
                ? t('maintenance.readNoneHint')
                : parts > 1
                  ? t('maintenance.readPartHint', { parts })
                  : t('maintenance.readAllHint')
            }
            onChange={(event) => change({ readDataDays: Number(event.target.value) })}
          >
            <option value={0}>{t('maintenance.readNone')}</option>
            {withValue(dataDays, wanted.readDataDays).map((days) => (
              <option key={days} value={days}>
                {t('maintenance.withinDays', { count: days })}
              </option>
            ))}
          </SelectField>
        </div>
      )}
      <Check
        label={t('maintenance.prune')}
        text={t('maintenance.pruneText')}
        checked={wanted.prune}
        onChange={(event) => change({ prune: event.target.checked })}
      />
      {save.isError && <ProblemNotice problem={save.error} />}
      <DialogActions>
        <Button onClick={onClose}>{t('action.cancel')}</Button>
        <Button look="primary" type="submit" disabled={save.isPending}>
          {save.isPending ? t('action.saving') : t('action.save')}
        </Button>
      </DialogActions>
    </form>
  );
}

/** The usual choices and the one that is set. */
function withValue(choices: readonly number[], value: number): number[] {
  return [...new Set([...choices, ...(value > 0 ? [value] : [])])].toSorted((a, b) => a - b);
}
