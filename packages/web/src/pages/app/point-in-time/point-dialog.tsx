// Naming this moment: a restore point in the database's own log.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { newRestorePointSchema } from '@varve/contract';
import type { App } from '@varve/contract';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../../../api/client.ts';
import { keys } from '../../../api/queries.ts';
import { useLocale } from '../../../i18n/locale.tsx';
import { Button } from '../../../ui/button.tsx';
import { Dialog, DialogActions } from '../../../ui/dialog.tsx';
import { TextField } from '../../../ui/field.tsx';
import { Notice, ProblemNotice } from '../../../ui/notice.tsx';

interface PointDialogProps {
  readonly app: App;
  readonly database: string;
  readonly onClose: () => void;
}

export function PointDialog({ app, database, onClose }: PointDialogProps): ReactNode {
  const { t, format } = useLocale();
  const client = useQueryClient();
  const [name, setName] = useState('');
  const create = useMutation({
    mutationFn: () => api.createPoint(app.id, { name: name.trim(), component: database }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.app(app.id) }),
  });
  const isTooLong = name.trim() !== '' && !newRestorePointSchema.shape.name.safeParse(name).success;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (!isTooLong) create.mutate();
  };
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={t('point.title', { database })}
      description={t('point.text')}
    >
      {create.data === undefined ? (
        <form onSubmit={submit} className="flex flex-col gap-4">
          <TextField
            label={t('point.name')}
            placeholder={t('point.placeholder')}
            error={isTooLong ? t('point.tooLong') : undefined}
            required
            autoComplete="off"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          {create.isError && <ProblemNotice problem={create.error} />}
          <DialogActions>
            <Button onClick={onClose}>{t('action.cancel')}</Button>
            <Button type="submit" look="primary" disabled={create.isPending || isTooLong || name.trim() === ''}>
              {create.isPending ? t('point.making') : t('point.make')}
            </Button>
          </DialogActions>
        </form>
      ) : (
        <>
          <Notice tone="ok" live title={t('point.made', { name: create.data.name })}>
            <span className="numbers">
              {t('point.madeText', { time: format.moment(create.data.at), lsn: create.data.lsn })}
            </span>
          </Notice>
          <DialogActions>
            <Button look="primary" onClick={onClose}>
              {t('action.close')}
            </Button>
          </DialogActions>
        </>
      )}
    </Dialog>
  );
}
