// How a job ended, and what to do next.

import { useQuery } from '@tanstack/react-query';
import type { Job } from '@varve/contract';
import type { ReactNode } from 'react';
import { queries } from '../../api/queries.ts';
import { checkResultOf, freedBytesOf, scopeText } from '../../domain/maintenance.ts';
import { safetySnapshotOf } from '../../domain/restore-progress.ts';
import { useLocale } from '../../i18n/locale.tsx';
import type { Locale } from '../../i18n/locale.tsx';
import { ButtonLink } from '../../ui/button.tsx';
import { Notice } from '../../ui/notice.tsx';
import { describeProblem } from '../../domain/problem-text.ts';

export function JobResult({ job }: { readonly job: Job }): ReactNode {
  const locale = useLocale();
  const { t, language } = locale;
  const action = <NextActions job={job} />;
  if (job.state === 'failed') {
    const problem = job.error === null ? null : describeProblem(job.error, t, language);
    const restore = job.type === 'restore';
    return (
      <Notice
        tone="bad"
        title={restore ? t('job.result.restoreFailed') : (problem?.title ?? t('error.title'))}
        action={action}
      >
        {restore && problem !== null && <p className="font-medium">{problem.title}</p>}
        {problem !== null && <p>{problem.detail}</p>}
        {problem !== null && problem.hint !== null && <p className="mt-1 text-ink-2">{problem.hint}</p>}
        {restore && <p className="mt-2">{t('job.result.restoreFailedText')}</p>}
        {problem !== null && problem.code !== null && (
          <p className="mt-1 font-mono text-xs text-ink-2">{t('error.code', { code: problem.code })}</p>
        )}
      </Notice>
    );
  }
  if (job.state === 'cancelled') return <Notice tone="info" title={t('job.result.cancelled')} action={action} />;
  const { title, text } = goodResult(job, locale);
  return (
    <Notice tone={job.state === 'partial' ? 'warning' : 'ok'} title={title} action={action}>
      {text}
    </Notice>
  );
}

function goodResult(job: Job, locale: Locale): { title: string; text?: string } {
  const { t, format } = locale;
  const partial = job.state === 'partial';
  switch (job.type) {
    case 'snapshot':
      return { title: t(partial ? 'job.result.snapshotPartial' : 'job.result.snapshot') };
    case 'restore':
      return partial
        ? { title: t('job.result.restorePartial'), text: t('job.result.restorePartialText') }
        : { title: t('job.result.restore'), text: t('job.result.restoreText') };
    case 'forget':
      return { title: t('job.result.forget'), text: t('job.result.forgetText') };
    case 'check': {
      const result = checkResultOf(job);
      const title = t('job.result.check');
      if (result === undefined) return { title };
      const bytes = format.bytes(result.bytesRead);
      return { title, text: t('check.read', { count: result.snapshots, scope: scopeText(result.scope, t), bytes }) };
    }
    case 'prune': {
      const freed = freedBytesOf(job);
      const title = freed === null ? t('job.state.succeeded') : t('prune.freed', { bytes: format.bytes(freed) });
      return partial ? { title, text: t('prune.partialText') } : { title };
    }
    case 'recovery':
      return { title: t('job.result.recovery'), ...recoveryText(job, locale) };
    case 'verify': {
      const title = t('job.result.verify');
      if (job.result?.type !== 'verify') return { title };
      return { title, text: t('job.result.verifyTook', { time: format.duration(job.result.seconds * 1000) }) };
    }
  }
}

function recoveryText({ result }: Job, { t, format }: Locale): { text?: string } {
  if (result?.type !== 'recovery') return {};
  const until =
    result.lastCommitAt === null ? [] : [t('job.result.recoveryUntil', { time: format.dateTime(result.lastCommitAt) })];
  const command = result.sandbox?.connection?.command;
  const sandbox = command === undefined ? [] : [t('job.result.recoverySandbox', { command })];
  return { text: [...until, ...sandbox].join(' ') };
}

function NextActions({ job }: { readonly job: Job }): ReactNode {
  const { t } = useLocale();
  if (job.appId === null) return null;
  const app = { appId: job.appId };
  return (
    <>
      {job.type === 'restore' && job.state !== 'succeeded' && job.snapshotId !== null && (
        <ButtonLink to="/apps/$appId/snapshots/$snapshotId/restore" params={{ ...app, snapshotId: job.snapshotId }}>
          {t('job.tryAgain')}
        </ButtonLink>
      )}
      {job.type === 'restore' && <UndoLink job={job} appId={job.appId} />}
      {job.type === 'snapshot' && job.snapshotId !== null && (
        <ButtonLink to="/apps/$appId/snapshots/$snapshotId" params={{ ...app, snapshotId: job.snapshotId }}>
          {t('job.openSnapshot')}
        </ButtonLink>
      )}
      <ButtonLink to="/apps/$appId" params={app}>
        {job.type === 'restore' ? t('job.seeSafety') : t('job.openApp')}
      </ButtonLink>
    </>
  );
}

/** Leads to the restore of the safety snapshot, when the job took one. */
function UndoLink({ job, appId }: { readonly job: Job; readonly appId: string }): ReactNode {
  const { t } = useLocale();
  const snapshots = useQuery(queries.snapshots(appId));
  const safety = safetySnapshotOf(job, snapshots.data ?? []);
  if (safety === undefined) return null;
  return (
    <ButtonLink to="/apps/$appId/snapshots/$snapshotId/restore" params={{ appId, snapshotId: safety.id }}>
      {t('job.undo')}
    </ButtonLink>
  );
}
