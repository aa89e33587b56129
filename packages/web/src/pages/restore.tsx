// Restoring: choose what, see the plan with its warnings first, confirm with the app's name. The run is then watched on the
// job's page.

import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import type { RestorePlan, SnapshotDetails } from '@varve/contract';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { ApiProblem, api } from '../api/client.ts';
import { queries } from '../api/queries.ts';
import { useLocale } from '../i18n/locale.tsx';
import { Notice, ProblemNotice } from '../ui/notice.tsx';
import { Card, PageHeading, Skeleton } from '../ui/surface.tsx';
import { Ago } from '../ui/time.tsx';
import { ConfirmRestore } from './restore/confirm-restore.tsx';
import { PlanSteps } from './restore/plan-steps.tsx';
import { rememberPlan } from './restore/remembered-plan.ts';
import { RestoreChoice } from './restore/restore-choice.tsx';

const restorePath = '/apps/$appId/snapshots/$snapshotId/restore';

export function RestorePage(): ReactNode {
  const { t } = useLocale();
  const { appId, snapshotId } = useParams({ from: restorePath });
  const details = useQuery(queries.snapshot(appId, snapshotId));
  if (details.isError && details.data === undefined) {
    return <ProblemNotice problem={details.error} onRetry={() => void details.refetch()} />;
  }
  if (details.data === undefined) {
    return (
      <Card className="p-6">
        <Skeleton rows={4} label={t('loading')} />
      </Card>
    );
  }
  return <LoadedRestore key={snapshotId} details={details.data} />;
}

function LoadedRestore({ details }: { readonly details: SnapshotDetails }): ReactNode {
  const { snapshot, manifest } = details;
  const { appId } = snapshot;
  const { t, format } = useLocale();
  const navigate = useNavigate();
  const overview = useQuery(queries.app(appId));
  const [components, setComponents] = useState<readonly string[] | null>(null);
  const [safetySnapshot, setSafetySnapshot] = useState(true);
  const request = {
    snapshotId: snapshot.id,
    safetySnapshot,
    ...(components === null ? {} : { components: [...components] }),
  };
  const nothingChosen = components !== null && components.length === 0;
  const plan = useQuery({
    queryKey: ['restore-plan', appId, request],
    queryFn: ({ signal }) => api.planRestore(appId, request, { signal }),
    enabled: !nothingChosen,
    placeholderData: keepPreviousData,
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const run = useMutation({
    mutationFn: (shown: RestorePlan) => api.startRestore(appId, { ...request, fingerprint: shown.fingerprint }),
    onSuccess: async (job, shown) => {
      rememberPlan(job.id, shown);
      await navigate({ to: '/jobs/$jobId', params: { jobId: job.id } });
    },
    onError: async (problem) => {
      if (problem instanceof ApiProblem && problem.code === 'RESTORE_PLAN_STALE') await plan.refetch();
    },
  });
  const isStale = run.error instanceof ApiProblem && run.error.code === 'RESTORE_PLAN_STALE';
  const appName = overview.data?.app.name ?? manifest.app.name;
  return (
    <div className="mx-auto max-w-3xl">
      <PageHeading
        back={{
          link: { to: '/apps/$appId/snapshots/$snapshotId', params: { appId, snapshotId: snapshot.id } },
          label: t('snapshot.details'),
        }}
        title={t('restore.title', { app: appName })}
        text={
          <p className="numbers">
            {t('restore.to', { time: format.dateTime(snapshot.time) })} · <Ago at={snapshot.time} />
            {snapshot.name !== null && <> · {snapshot.name}</>}
          </p>
        }
      />
      <div className="flex flex-col gap-6">
        <RestoreChoice
          manifest={manifest}
          components={components}
          onComponents={setComponents}
          safetySnapshot={safetySnapshot}
          onSafetySnapshot={setSafetySnapshot}
        />
        {nothingChosen && <Notice tone="info" title={t('restore.chooseOne')} />}
        {!nothingChosen && plan.isPending && (
          <Card className="p-6">
            <Skeleton rows={4} label={t('restore.planLoading')} />
          </Card>
        )}
        {!nothingChosen && plan.isError && <ProblemNotice problem={plan.error} onRetry={() => void plan.refetch()} />}
        {!nothingChosen && plan.data !== undefined && !plan.isError && (
          <>
            {isStale && <Notice tone="warning" live title={t('restore.stale')} />}
            <PlanSteps plan={plan.data} updating={plan.isFetching} />
            <ConfirmRestore
              key={plan.data.fingerprint}
              appName={appName}
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
