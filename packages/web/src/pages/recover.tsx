// Bringing a database back to a moment: where to, then the plan with its warnings, then the word. The run is watched on the
// job's page. The moment comes from the app's page, in the address.

import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import type { App, RecoveryPlan, RecoveryRequestInput, RecoveryTarget } from '@varve/contract';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { ApiProblem, api } from '../api/client.ts';
import { queries } from '../api/queries.ts';
import { useLocale } from '../i18n/locale.tsx';
import type { Locale } from '../i18n/locale.tsx';
import { Notice, ProblemNotice } from '../ui/notice.tsx';
import { Card, PageHeading, Skeleton } from '../ui/surface.tsx';
import { ConfirmRecovery } from './recover/confirm-recovery.tsx';
import { DestinationChoice } from './recover/destination-choice.tsx';
import type { Destination } from './recover/destination-choice.tsx';
import { RecoveryPlanView } from './recover/recovery-plan-view.tsx';

interface Search {
  readonly database?: string;
  readonly time?: string;
  readonly point?: string;
  readonly snapshot?: string;
  /** One that was left behind. */
  readonly timeline?: number;
}

export function RecoverPage(): ReactNode {
  const { t } = useLocale();
  const { appId } = useParams({ from: '/apps/$appId/recover' });
  const search: Search = useSearch({ strict: false });
  const overview = useQuery(queries.app(appId));
  if (overview.isError && overview.data === undefined) {
    return <ProblemNotice problem={overview.error} onRetry={() => void overview.refetch()} />;
  }
  if (overview.data === undefined) {
    return (
      <Card className="p-6">
        <Skeleton rows={4} label={t('loading')} />
      </Card>
    );
  }
  return <LoadedRecovery app={overview.data.app} search={search} />;
}

function LoadedRecovery({ app, search }: { readonly app: App; readonly search: Search }): ReactNode {
  const locale = useLocale();
  const { t } = locale;
  const navigate = useNavigate();
  const [destination, setDestination] = useState<Destination>({ type: 'sandbox', pause: false, safetySnapshot: true });
  const target = targetOf(search);
  const { timeline } = search;
  const request: RecoveryRequestInput = {
    ...(search.database === undefined ? {} : { component: search.database }),
    target,
    ...(timeline === undefined ? {} : { timeline }),
    destination: { type: destination.type },
    whenReached: destination.type === 'sandbox' && destination.pause ? 'pause' : 'promote',
    safetySnapshot: destination.safetySnapshot,
  };
  const plan = useQuery({
    queryKey: ['recovery-plan', app.id, request],
    queryFn: ({ signal }) => api.planRecovery(app.id, request, { signal }),
    placeholderData: keepPreviousData,
    retry: false,
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const run = useMutation({
    mutationFn: (shown: RecoveryPlan) => api.startRecovery(app.id, { ...request, fingerprint: shown.fingerprint }),
    onSuccess: (job) => navigate({ to: '/jobs/$jobId', params: { jobId: job.id } }),
    onError: async (problem) => {
      if (problem instanceof ApiProblem && problem.code === 'RESTORE_PLAN_STALE') await plan.refetch();
    },
  });
  const isStale = run.error instanceof ApiProblem && run.error.code === 'RESTORE_PLAN_STALE';
  return (
    <div className="mx-auto max-w-3xl">
      <PageHeading
        back={{ link: { to: '/apps/$appId', params: { appId: app.id } }, label: app.name }}
        title={t('recover.title', { database: search.database ?? app.name })}
        text={<p className="numbers">{goalText(target, timeline, locale)}</p>}
      />
      <div className="flex flex-col gap-6">
        <DestinationChoice destination={destination} onDestination={setDestination} />
        {plan.isPending && (
          <Card className="p-6">
            <Skeleton rows={4} label={t('restore.planLoading')} />
          </Card>
        )}
        {plan.isError && <ProblemNotice problem={plan.error} onRetry={() => void plan.refetch()} />}
        {plan.data !== undefined && !plan.isError && (
          <>
            {isStale && <Notice tone="warning" live title={t('restore.stale')} />}
            <RecoveryPlanView plan={plan.data} updating={plan.isFetching} />
            <ConfirmRecovery
              key={plan.data.fingerprint}
              appName={app.name}
              destination={destination.type}
              pending={run.isPending}
              disabled={plan.isFetching}
              onConfirm={() => run.mutate(plan.data)}
            />
            {run.isError && !isStale && <ProblemNotice problem={run.error} />}
          </>
        )}
      </div>
    </div>
  );
}

function targetOf({ time, point, snapshot }: Search): RecoveryTarget {
  if (point !== undefined) return { type: 'name', name: point };
  if (snapshot !== undefined) return { type: 'snapshot', snapshotId: snapshot };
  return time === undefined ? { type: 'latest' } : { type: 'time', time };
}

function goalText(target: RecoveryTarget, timeline: number | undefined, locale: Locale): string {
  const text = targetText(target, locale);
  return timeline === undefined ? text : locale.t('recover.onLeft', { target: text, timeline });
}

function targetText(target: RecoveryTarget, { t, format }: Locale): string {
  switch (target.type) {
    case 'time':
      return t('recover.to.time', { time: format.exact(target.time) });
    case 'name':
      return t('recover.to.name', { name: target.name });
    case 'snapshot':
      return t('recover.to.snapshot', { id: target.snapshotId.slice(0, 8) });
    default:
      return t('recover.to.latest');
  }
}
