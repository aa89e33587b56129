// Capturing the log of a database on and off, streamed or through a folder. Off is asked about, because from then on no moment is added.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { App, DatabaseComponent } from '@varve/contract';
import { Power } from 'lucide-react';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { api } from '../../../api/client.ts';
import { keys } from '../../../api/queries.ts';
import { useLocale } from '../../../i18n/locale.tsx';
import { Button } from '../../../ui/button.tsx';
import { Dialog, DialogActions } from '../../../ui/dialog.tsx';
import { ProblemNotice } from '../../../ui/notice.tsx';
import { ArchiveDialog } from './archive-dialog.tsx';

interface CaptureSwitchProps {
  readonly app: App;
  readonly component: DatabaseComponent;
}

export function CaptureSwitch({ app, component }: CaptureSwitchProps): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const [archiving, setArchiving] = useState(false);
  const isOn = component.wal === true;
  const change = useMutation({
    mutationFn: () => api.setCapture(app.id, { enabled: !isOn, component: component.name }),
    onSuccess: async () => {
      setAsking(false);
      await client.invalidateQueries({ queryKey: keys.app(app.id) });
      await client.invalidateQueries({ queryKey: keys.apps });
    },
  });
  return (
    <>
      <Button look="quiet" onClick={() => setArchiving(true)}>
        {t(component.walArchive === undefined ? 'archive.open' : 'archive.settings')}
      </Button>
      {archiving && <ArchiveDialog app={app} component={component} onClose={() => setArchiving(false)} />}
      <Button
        look={isOn ? 'quiet' : 'primary'}
        disabled={change.isPending}
        onClick={() => (isOn ? setAsking(true) : change.mutate())}
      >
        <Power size={15} aria-hidden="true" />
        {t(isOn ? 'capture.turnOff' : 'capture.turnOn')}
      </Button>
      {change.isError && !asking && <ProblemNotice problem={change.error} className="w-full" />}
      <Dialog
        open={asking}
        onOpenChange={setAsking}
        title={t('capture.turnOffTitle', { database: component.name })}
        description={t('capture.turnOffText')}
      >
        {component.walArchive !== undefined && (
          <p className="text-sm">{t('archive.left', { directory: component.walArchive.directory })}</p>
        )}
        {change.isError && <ProblemNotice problem={change.error} />}
        <DialogActions>
          <Button onClick={() => setAsking(false)}>{t('action.cancel')}</Button>
          <Button look="danger" disabled={change.isPending} onClick={() => change.mutate()}>
            {t('capture.turnOff')}
          </Button>
        </DialogActions>
      </Dialog>
    </>
  );
}
