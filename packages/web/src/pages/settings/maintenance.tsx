// Care of the repository: checks and the space of what was forgotten, each with what was done last, what comes next by itself,
// and a button to do it now.

import { useMutation, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { Job, Maintenance } from '@varve/contract';
import { Recycle, SlidersHorizontal } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { queries } from '../../api/queries.ts';
import { checkResultOf, freedBytesOf, scopeText } from '../../domain/maintenance.ts';
import type { Light } from '../../domain/protection.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { LightIcon } from '../../ui/state.tsx';
import { Skeleton } from '../../ui/surface.tsx';
import { Ago } from '../../ui/time.tsx';
import { FreeSpaceDialog } from './free-space-dialog.tsx';
import { MaintenanceDialog } from './maintenance-dialog.tsx';

export function MaintenancePanel(): ReactNode {
  const { t } = useLocale();
  const maintenance = useQuery(queries.maintenance());
  const [isChanging, setChanging] = useState(false);
  if (maintenance.isError && maintenance.data === undefined) {
    return <ProblemNotice problem={maintenance.error} onRetry={() => void maintenance.refetch()} className="mt-6" />;
  }
  if (maintenance.data === undefined) {
    return (
      <div className="mt-6">
        <Skeleton rows={3} label={t('loading')} />
      </div>
    );
  }
  if (maintenance.data === null) return null;
  return (
    <div className="mt-6 divide-y divide-line border-y border-line">
      <Checks check={maintenance.data.check} />
      <Space prune={maintenance.data.prune} />
      <div className="py-3">
        <Button look="quiet" className="-ml-3.5" onClick={() => setChanging(true)}>
          <SlidersHorizontal size={16} aria-hidden="true" />
          {t('maintenance.change')}
        </Button>
      </div>
      {isChanging && <MaintenanceDialog onClose={() => setChanging(false)} />}
    </div>
  );
}

interface RowProps {
  readonly title: string;
  readonly light: Light;
  readonly last: ReactNode;
  readonly next: ReactNode;
  readonly children: ReactNode;
}

function Row({ title, light, last, next, children }: RowProps): ReactNode {
  return (
    <section className="py-5">
      <h3 className="font-semibold">{title}</h3>
      <p className="mt-1.5 flex items-start gap-2">
        <span className="flex h-6 items-center">
          <LightIcon light={light} size={17} />
        </span>
        <span className="min-w-0">{last}</span>
      </p>
      <p className="mt-0.5 pl-[1.6rem] text-sm text-ink-2">{next}</p>
      {children}
    </section>
  );
}

/** A moment that is due, or when it comes. */
function useWhen(): (at: string) => string {
  const { t, format } = useLocale();
  const now = useNow();
  return (at) => (Date.parse(at) <= now ? t('maintenance.soon') : format.when(at, now));
}

function Checks({ check }: { readonly check: Maintenance['check'] }): ReactNode {
  const { t } = useLocale();
  const when = useWhen();
  const start = useMutation({ mutationFn: (readData: boolean) => api.startCheck(readData) });
  const { last, nextAt, nextScope } = check;
  const isGood = last?.state === 'succeeded';
  const result = last === null ? undefined : checkResultOf(last);
  const outcome = isGood ? t('check.sound') : t((result?.errors ?? 0) > 0 ? 'check.damaged' : 'check.failed');
  return (
    <Row
      title={t('check.title')}
      light={last === null ? 'idle' : isGood ? 'ok' : 'bad'}
      last={
        last === null ? (
          t('check.never')
        ) : (
          <>
            {t('check.last')} <Ago at={last.finishedAt ?? last.createdAt} />:{' '}
            <Link to="/jobs/$jobId" params={{ jobId: last.id }} className="font-medium text-accent underline">
              {outcome}
            </Link>
            {result !== undefined && <span className="text-ink-2"> ({scopeText(result.scope, t)})</span>}
          </>
        )
      }
      next={nextAt === null ? t('check.off') : t('check.next', { when: when(nextAt), scope: scopeText(nextScope, t) })}
    >
      <div className="mt-3 flex flex-wrap gap-2">
        <Button disabled={start.isPending} onClick={() => start.mutate(false)}>
          {t('repository.check')}
        </Button>
        <Button disabled={start.isPending} onClick={() => start.mutate(true)}>
          {t('repository.checkData')}
        </Button>
      </div>
      <p className="mt-2 text-xs text-ink-2">{t('repository.checkHint')}</p>
      {start.isError && <ProblemNotice problem={start.error} className="mt-3" />}
      {start.data !== undefined && (
        <p role="status" className="mt-3 text-sm">
          {t('repository.checkStarted')}{' '}
          <Link to="/jobs/$jobId" params={{ jobId: start.data.id }} className="font-medium text-accent underline">
            {t('repository.checkOpen')}
          </Link>
        </p>
      )}
    </Row>
  );
}

const pruneLights: Readonly<Partial<Record<Job['state'], Light>>> = {
  succeeded: 'ok',
  partial: 'warning',
  failed: 'bad',
};

function Space({ prune }: { readonly prune: Maintenance['prune'] }): ReactNode {
  const { t, format } = useLocale();
  const when = useWhen();
  const [isOpen, setOpen] = useState(false);
  const { last, nextAt, pendingSince } = prune;
  const freed = last === null ? null : freedBytesOf(last);
  const outcome = freed === null ? t('prune.failed') : t('prune.freed', { bytes: format.bytes(freed) });
  return (
    <Row
      title={t('prune.row')}
      light={last === null ? 'idle' : (pruneLights[last.state] ?? 'idle')}
      last={
        last === null ? (
          t('prune.never')
        ) : (
          <>
            {t('prune.last')} <Ago at={last.finishedAt ?? last.createdAt} />:{' '}
            <Link to="/jobs/$jobId" params={{ jobId: last.id }} className="font-medium text-accent underline">
              {outcome}
            </Link>
          </>
        )
      }
      next={
        pendingSince === null
          ? t('prune.nothingPending')
          : nextAt === null
            ? t('prune.off')
            : t('prune.next', { when: when(nextAt) })
      }
    >
      <div className="mt-3">
        <Button onClick={() => setOpen(true)}>
          <Recycle size={16} aria-hidden="true" />
          {t('prune.open')}
        </Button>
      </div>
      {isOpen && <FreeSpaceDialog onClose={() => setOpen(false)} />}
    </Row>
  );
}
