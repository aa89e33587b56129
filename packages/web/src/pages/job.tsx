// One job: where it is, how it ended, what to do next, its log.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import type { Job, JobDetails } from '@varve/contract';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { api } from '../api/client.ts';
import { isEnded } from '../api/apply-event.ts';
import { keys, queries } from '../api/queries.ts';
import { jobTitle, requesterText } from '../domain/labels.ts';
import { checkResultOf } from '../domain/maintenance.ts';
import { useLocale, useNow } from '../i18n/locale.tsx';
import { Button } from '../ui/button.tsx';
import { Dialog, DialogActions } from '../ui/dialog.tsx';
import { ProblemNotice } from '../ui/notice.tsx';
import { JobStateChip } from '../ui/state.tsx';
import { Card, CardHeading, Facts, PageHeading, Skeleton } from '../ui/surface.tsx';
import { DateTime } from '../ui/time.tsx';
import { AffectedFiles } from './jobs/affected-files.tsx';
import { JobLog } from './jobs/job-log.tsx';
import { JobProgressPanel } from './jobs/job-progress.tsx';
import { JobResult } from './jobs/job-result.tsx';
import { RestoreSteps } from './jobs/restore-steps.tsx';
import { rememberedPlan } from './restore/remembered-plan.ts';

export function JobPage(): ReactNode {
  const { t } = useLocale();
  const { jobId } = useParams({ from: '/jobs/$jobId' });
  const details = useQuery(queries.job(jobId));
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
  return <LoadedJob key={jobId} details={details.data} />;
}

function LoadedJob({ details }: { readonly details: JobDetails }): ReactNode {
  const { job, log } = details;
  const { t, format } = useLocale();
  const now = useNow();
  const apps = useQuery(queries.apps());
  const appName = apps.data?.find(({ app }) => app.id === job.appId)?.app.name;
  const check = checkResultOf(job);
  const plan = job.type === 'restore' ? rememberedPlan(job.id) : undefined;
  const endedAt = job.finishedAt === null ? now : Date.parse(job.finishedAt);
  return (
    <div>
      <PageHeading
        back={{ link: { to: '/jobs' }, label: t('jobs.title') }}
        title={jobTitle(job, appName, t)}
        text={<JobStateChip state={job.state} />}
        actions={!isEnded(job) && <CancelButton job={job} />}
      />
      <div className="flex flex-col gap-6">
        {isEnded(job) ? <JobResult job={job} /> : <JobProgressPanel job={job} />}
        {plan !== undefined && <RestoreSteps steps={plan.steps} job={job} />}
        {check !== undefined && check.affectedCount > 0 && <AffectedFiles result={check} />}
        {job.problems.length > 0 && <Problems job={job} />}
        <Card className="p-5 sm:p-6">
          <Facts
            className="grid-cols-2 md:grid-cols-4"
            items={[
              { label: t('job.requested'), value: requesterText(job.requestedBy, t) },
              { label: t('job.started'), value: job.startedAt === null ? '—' : <DateTime at={job.startedAt} /> },
              { label: t('job.ended'), value: job.finishedAt === null ? '—' : <DateTime at={job.finishedAt} /> },
              {
                label: t('job.duration'),
                value: job.startedAt === null ? '—' : format.duration(Math.max(0, endedAt - Date.parse(job.startedAt))),
              },
            ]}
          />
        </Card>
        <JobLog log={log} running={!isEnded(job)} />
      </div>
    </div>
  );
}

function Problems({ job }: { readonly job: Job }): ReactNode {
  const { t } = useLocale();
  return (
    <Card className="p-5 sm:p-6">
      <CardHeading>{t('job.problems', { count: job.problems.length })}</CardHeading>
      <ul className="mt-2 flex flex-col gap-2 text-sm">
        {job.problems.map(({ path, message }, index) => (
          <li key={index}>
            <span className="break-all font-mono text-[0.8125rem]">{path}</span>
            <span className="block text-ink-2">{message}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function CancelButton({ job }: { readonly job: Job }): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  const cancel = useMutation({
    mutationFn: () => api.cancelJob(job.id),
    onSuccess: async () => {
      setOpen(false);
      await client.invalidateQueries({ queryKey: keys.job(job.id) });
    },
  });
  const text = {
    snapshot: 'job.cancelSnapshot',
    restore: 'job.cancelRestore',
    forget: 'job.cancelOther',
    check: 'job.cancelOther',
    prune: 'job.cancelOther',
    recovery: 'job.cancelRecovery',
    verify: 'job.cancelOther',
  } as const;
  return (
    <>
      <Button look="danger" disabled={cancel.isPending || cancel.isSuccess} onClick={() => setOpen(true)}>
        {cancel.isSuccess ? t('job.cancelling') : t('job.cancel')}
      </Button>
      <Dialog open={open} onOpenChange={setOpen} title={t('job.cancelTitle')} description={t(text[job.type])}>
        {cancel.isError && <ProblemNotice problem={cancel.error} />}
        <DialogActions>
          <Button onClick={() => setOpen(false)}>{t('job.keepRunning')}</Button>
          <Button look="danger" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
            {t('job.cancelConfirm')}
          </Button>
        </DialogActions>
      </Dialog>
    </>
  );
}
