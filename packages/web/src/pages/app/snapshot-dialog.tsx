// "Snapshot now" with a name and a description, both optional.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { App, NewSnapshot } from '@varve/contract';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { SelectField, TextArea, TextField } from '../../ui/field.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';

interface SnapshotDialogProps {
  readonly app: App;
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
}

export function SnapshotDialog({ app, open, onOpenChange }: SnapshotDialogProps): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [description, setDescription] = useState('');
  const [kind, setKind] = useState<NewSnapshot['kind']>('manual');
  const start = useMutation({
    mutationFn: () =>
      api.startSnapshot(app.id, {
        kind,
        ...(name.trim() === '' ? {} : { name: name.trim() }),
        ...(description.trim() === '' ? {} : { description: description.trim() }),
      }),
    onSuccess: async () => {
      onOpenChange(false);
      setName('');
      setDescription('');
      await client.invalidateQueries({ queryKey: keys.app(app.id) });
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    start.mutate();
  };
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title={t('snapshot.dialogTitle', { app: app.name })}
      description={t('snapshot.dialogText')}
    >
      <form onSubmit={submit} className="flex flex-col gap-4">
        <TextField
          label={t('snapshot.name')}
          optional={t('snapshot.optional')}
          placeholder={t('snapshot.namePlaceholder')}
          maxLength={200}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <TextArea
          label={t('snapshot.description')}
          optional={t('snapshot.optional')}
          maxLength={2000}
          value={description}
          onChange={(event) => setDescription(event.target.value)}
        />
        <SelectField
          label={t('snapshot.kindLabel')}
          value={kind}
          onChange={(event) => setKind(event.target.value === 'pre-deploy' ? 'pre-deploy' : 'manual')}
        >
          <option value="manual">{t('kind.manual')}</option>
          <option value="pre-deploy">{t('kind.pre-deploy')}</option>
        </SelectField>
        {start.isError && <ProblemNotice problem={start.error} />}
        <DialogActions>
          <Button onClick={() => onOpenChange(false)}>{t('action.cancel')}</Button>
          <Button type="submit" look="primary" disabled={start.isPending}>
            {start.isPending ? t('apps.starting') : t('snapshot.start')}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
