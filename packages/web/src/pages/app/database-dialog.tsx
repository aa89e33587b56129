// How a database is saved from the next snapshot on: by dumps, by its files, or both, and how fast its server may be read.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { App, DatabaseComponent, DatabaseMethod } from '@varve/contract';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { SelectField, TextField } from '../../ui/field.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';

const kilobytesPerMegabyte = 1000;

interface DatabaseDialogProps {
  readonly app: App;
  readonly component: DatabaseComponent;
  readonly onClose: () => void;
}

export function DatabaseDialog({ app, component, onClose }: DatabaseDialogProps): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const [method, setMethod] = useState<DatabaseMethod>(component.method);
  const [rate, setRate] = useState(
    component.maxRateKBps === undefined ? '' : String(component.maxRateKBps / kilobytesPerMegabyte),
  );
  const save = useMutation({
    mutationFn: () =>
      api.updateDatabase(app.id, component.name, {
        method,
        maxRateKBps: rate === '' ? null : Math.round(Number(rate) * kilobytesPerMegabyte),
      }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.app(app.id) });
      await client.invalidateQueries({ queryKey: keys.apps });
      onClose();
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={`${t('database.title')} · ${component.name}`}>
      <form onSubmit={submit} className="flex flex-col gap-6">
        <DatabaseMethodField value={method} onChange={setMethod} />
        {method !== 'dump' && (
          <TextField
            label={t('database.rate')}
            optional={t('snapshot.optional')}
            hint={t('database.rateHint')}
            type="number"
            min={0.1}
            max={1000}
            step="any"
            value={rate}
            onChange={(event) => setRate(event.target.value)}
          />
        )}
        {save.isError && <ProblemNotice problem={save.error} />}
        <DialogActions>
          <Button onClick={onClose}>{t('action.cancel')}</Button>
          <Button type="submit" look="primary" disabled={save.isPending}>
            {save.isPending ? t('action.saving') : t('action.save')}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function DatabaseMethodField({
  value,
  onChange,
}: {
  readonly value: DatabaseMethod;
  readonly onChange: (method: DatabaseMethod) => void;
}): ReactNode {
  const { t } = useLocale();
  return (
    <SelectField
      label={t('add.method')}
      value={value}
      onChange={(event) => onChange(event.target.value as DatabaseMethod)}
    >
      <option value="dump">{t('add.methodDump')}</option>
      <option value="base">{t('add.methodBase')}</option>
      <option value="both">{t('add.methodBoth')}</option>
    </SelectField>
  );
}
