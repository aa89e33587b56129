// Name, state in one sentence, and what can be done with the app.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import type { AppOverview } from '@varve/contract';
import { Camera, Ellipsis } from 'lucide-react';
import { DropdownMenu as Menu } from 'radix-ui';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import { originText } from '../../domain/labels.ts';
import { protectionSentence } from '../../domain/protection.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { StateLight } from '../../ui/state.tsx';
import { PageHeading } from '../../ui/surface.tsx';
import { SnapshotDialog } from './snapshot-dialog.tsx';

export function AppHeader({ overview }: { readonly overview: AppOverview }): ReactNode {
  const { app, protection, bytes } = overview;
  const { t, format, language } = useLocale();
  const now = useNow();
  const [dialog, setDialog] = useState<'snapshot' | 'remove' | null>(null);
  const sentence = protectionSentence(protection, app.policy.alertAfterHours, { t, format, language, now });
  const facts = [
    originText(app, t),
    t('apps.snapshots', { count: protection.snapshotCount }),
    ...(bytes === null ? [] : [format.bytes(bytes)]),
  ];
  return (
    <>
      <PageHeading
        back={{ link: { to: '/' }, label: t('apps.title') }}
        title={app.name}
        text={
          <>
            <p className="numbers text-sm">{facts.join(' · ')}</p>
            <p className="numbers mt-3 flex flex-wrap items-center gap-x-3 gap-y-1.5 text-base text-ink">
              <StateLight light={sentence.light}>{sentence.state}</StateLight>
              <span>{sentence.text}</span>
            </p>
          </>
        }
        actions={
          <>
            <Button look="primary" disabled={protection.runningJobId !== null} onClick={() => setDialog('snapshot')}>
              <Camera size={16} aria-hidden="true" />
              {t('apps.snapshotNow')}
            </Button>
            <MoreMenu onRemove={() => setDialog('remove')} />
          </>
        }
      />
      <SnapshotDialog
        app={app}
        open={dialog === 'snapshot'}
        onOpenChange={(open) => setDialog(open ? 'snapshot' : null)}
      />
      <RemoveDialog app={app} open={dialog === 'remove'} onOpenChange={(open) => setDialog(open ? 'remove' : null)} />
    </>
  );
}

function MoreMenu({ onRemove }: { readonly onRemove: () => void }): ReactNode {
  const { t } = useLocale();
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger asChild>
        <Button aria-label={t('action.more')} className="px-2.5">
          <Ellipsis size={18} aria-hidden="true" />
        </Button>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content
          align="end"
          sideOffset={6}
          className="rise z-30 rounded-xl border border-line bg-surface p-1.5 shadow-card"
        >
          <Menu.Item
            onSelect={onRemove}
            className="flex min-h-9 cursor-pointer items-center rounded-md px-2.5 text-sm text-bad outline-none data-highlighted:bg-bad-soft"
          >
            {t('appPage.remove')}
          </Menu.Item>
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

interface RemoveDialogProps {
  readonly app: AppOverview['app'];
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
}

function RemoveDialog({ app, open, onOpenChange }: RemoveDialogProps): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () => api.removeApp(app.id),
    onSuccess: async () => {
      await navigate({ to: '/' });
      client.removeQueries({ queryKey: keys.app(app.id) });
      await client.invalidateQueries({ queryKey: keys.apps });
    },
  });
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title={t('appPage.removeTitle', { app: app.name })}
      description={t('appPage.removeText')}
    >
      {remove.isError && <ProblemNotice problem={remove.error} />}
      <DialogActions>
        <Button onClick={() => onOpenChange(false)}>{t('action.cancel')}</Button>
        <Button look="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
          {t('appPage.removeConfirm')}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
