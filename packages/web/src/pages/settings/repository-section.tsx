// The repository: where it is, its state, checks of it, and the recovery kit.

import { useQuery } from '@tanstack/react-query';
import { useLocation, useNavigate } from '@tanstack/react-router';
import type { RepositoryInfo } from '@varve/contract';
import { KeyRound } from 'lucide-react';
import type { ReactNode } from 'react';
import { queries } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Notice, ProblemNotice } from '../../ui/notice.tsx';
import { LightIcon, StateLight } from '../../ui/state.tsx';
import { Card, CardHeading, Facts, Skeleton } from '../../ui/surface.tsx';
import { MaintenancePanel } from './maintenance.tsx';
import { RecoveryKitDialog } from './recovery-kit-dialog.tsx';
import { StorageTest } from './storage-test.tsx';

export function RepositorySection(): ReactNode {
  const { t } = useLocale();
  const repository = useQuery(queries.repository());
  return (
    <Card id="repository" className="p-5 sm:p-6" aria-labelledby="repository-title">
      <CardHeading id="repository-title">{t('settings.repository')}</CardHeading>
      <p className="text-sm text-ink-2">{t('repository.text')}</p>
      {repository.isPending && <Skeleton rows={3} label={t('loading')} />}
      {repository.isError && repository.data === undefined && (
        <ProblemNotice problem={repository.error} onRetry={() => void repository.refetch()} className="mt-4" />
      )}
      {repository.data === null && <p className="mt-4">{t('repository.none')}</p>}
      {repository.data !== undefined && repository.data !== null && <Repository repository={repository.data} />}
    </Card>
  );
}

const lights = { ready: 'ok', unreachable: 'bad', damaged: 'bad' } as const;

function Repository({ repository }: { readonly repository: RepositoryInfo }): ReactNode {
  const { t, format } = useLocale();
  const { hash } = useLocation();
  const navigate = useNavigate();
  // In the address, so that the reminder on the home page can open it.
  const kitOpen = hash === 'recovery-kit';
  const showKit = (open: boolean): void => {
    void navigate({ to: '/settings', replace: true, ...(open ? { hash: 'recovery-kit' } : {}), resetScroll: false });
  };
  return (
    <>
      <Facts
        className="mt-5 sm:grid-cols-2"
        items={[
          {
            label: t('repository.state'),
            value: (
              <StateLight light={lights[repository.state]}>{t(`repository.state.${repository.state}`)}</StateLight>
            ),
          },
          {
            label: t('repository.free'),
            value: repository.freeBytes === null ? '—' : format.bytes(repository.freeBytes),
          },
          {
            label: t('repository.location'),
            value: <span className="break-all font-mono text-[0.8125rem]">{repository.location}</span>,
          },
          {
            label: t('repository.id'),
            value: <span className="break-all font-mono text-[0.8125rem]">{repository.id}</span>,
          },
        ]}
      />
      {repository.problem !== null && (
        <Notice tone="bad" title={t(`repository.state.${repository.state}`)} className="mt-4">
          {repository.problem}
        </Notice>
      )}
      <div
        className={`mt-6 flex flex-wrap items-center gap-x-4 gap-y-3 rounded-lg border px-4 py-3.5 ${
          repository.recoveryKitConfirmed ? 'border-line bg-sunken/50' : 'border-warn-mark/40 bg-warn-soft'
        }`}
      >
        <LightIcon light={repository.recoveryKitConfirmed ? 'ok' : 'warning'} size={20} />
        <div className="min-w-0 flex-1 basis-52">
          <p className="font-semibold">{t('repository.kit')}</p>
          <p className="text-sm">
            {t(repository.recoveryKitConfirmed ? 'repository.kitConfirmed' : 'repository.kitMissing')}
          </p>
        </div>
        <Button onClick={() => showKit(true)}>
          <KeyRound size={16} aria-hidden="true" />
          {t('kit.nagAction')}
        </Button>
      </div>
      <MaintenancePanel />
      <StorageTest />
      {kitOpen && <RecoveryKitDialog confirmed={repository.recoveryKitConfirmed} onClose={() => showKit(false)} />}
    </>
  );
}
