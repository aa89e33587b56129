// Log that the server's own archive_command copies into a folder: the lines that the server needs, what of them is missing, and the
// switch to that way.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { walArchiveSchema } from '@varve/contract';
import type { App, DatabaseComponent, WalSettings } from '@varve/contract';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../../../api/client.ts';
import { keys } from '../../../api/queries.ts';
import { useLocale } from '../../../i18n/locale.tsx';
import { Button } from '../../../ui/button.tsx';
import { Dialog, DialogActions } from '../../../ui/dialog.tsx';
import { TextField } from '../../../ui/field.tsx';
import { Notice, ProblemNotice } from '../../../ui/notice.tsx';

interface ArchiveDialogProps {
  readonly app: App;
  readonly component: DatabaseComponent;
  readonly onClose: () => void;
}

export function ArchiveDialog({ app, component, onClose }: ArchiveDialogProps): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const current = component.walArchive;
  const [directory, setDirectory] = useState(current?.directory ?? '');
  const [readFrom, setReadFrom] = useState(current?.readFrom ?? '');
  const archive = { directory: directory.trim(), ...(readFrom.trim() === '' ? {} : { readFrom: readFrom.trim() }) };
  const isValid = walArchiveSchema.safeParse(archive).success;
  const show = useMutation({
    mutationFn: () => api.walSettings(app.id, { component: component.name, ...archive }),
  });
  const turnOn = useMutation({
    mutationFn: () => api.setCapture(app.id, { enabled: true, component: component.name, archive }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.app(app.id) });
      await client.invalidateQueries({ queryKey: keys.apps });
      onClose();
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (isValid) show.mutate();
  };
  const isBlocked = show.data?.obstacles.some(({ severity }) => severity === 'blocks') ?? true;
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={t('archive.title', { database: component.name })}
      description={t('archive.text')}
    >
      <form onSubmit={submit} className="flex flex-col gap-4">
        <TextField
          label={t('archive.directory')}
          hint={t('archive.directoryHint')}
          error={directory.trim() !== '' && !isValid ? t('archive.invalid') : undefined}
          placeholder="/wal-archive"
          required
          autoComplete="off"
          value={directory}
          onChange={(event) => setDirectory(event.target.value)}
        />
        <TextField
          label={t('archive.readFrom')}
          hint={t('archive.readFromHint')}
          autoComplete="off"
          value={readFrom}
          onChange={(event) => setReadFrom(event.target.value)}
        />
        {show.data !== undefined && <Settings settings={show.data} />}
        {show.isError && <ProblemNotice problem={show.error} />}
        {turnOn.isError && <ProblemNotice problem={turnOn.error} />}
        <DialogActions>
          <Button onClick={onClose}>{t('action.cancel')}</Button>
          <Button type="submit" look={isBlocked ? 'primary' : 'quiet'} disabled={!isValid || show.isPending}>
            {t('archive.show')}
          </Button>
          {show.data !== undefined && (
            <Button
              look="primary"
              disabled={!isValid || isBlocked || turnOn.isPending || show.data.directory !== archive.directory}
              onClick={() => turnOn.mutate()}
            >
              {t('archive.use')}
            </Button>
          )}
        </DialogActions>
      </form>
    </Dialog>
  );
}

function Settings({ settings }: { readonly settings: WalSettings }): ReactNode {
  const { t } = useLocale();
  const { lines, needsRestart, obstacles } = settings;
  const restart = needsRestart === false ? t('archive.reload') : t('archive.restart');
  return (
    <section aria-live="polite" className="flex flex-col gap-3">
      <p className="text-sm text-ink-2">{t('archive.lines')}</p>
      <pre className="overflow-x-auto rounded-lg border border-line bg-sunken p-3 font-mono text-xs" tabIndex={0}>
        {lines.join('\n')}
      </pre>
      <p className="text-sm text-ink-2">
        {restart} {t('archive.compose')}
      </p>
      {obstacles.length === 0 && needsRestart !== null && <Notice tone="ok" title={t('archive.ready')} />}
      {obstacles.map(({ severity, message, hint }) => (
        <Notice
          key={message}
          tone={severity === 'blocks' ? 'bad' : 'warning'}
          title={t(severity === 'blocks' ? 'archive.missing' : 'archive.risk')}
        >
          {message}. {hint}
        </Notice>
      ))}
    </section>
  );
}
