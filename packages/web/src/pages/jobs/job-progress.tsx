// A running job in full: bar, bytes, files, speed, time left, what it works on.

import type { Job } from '@varve/contract';
import type { ReactNode } from 'react';
import { jobStepText, progressFraction } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { ProgressBar } from '../../ui/progress.tsx';
import { Card, Facts } from '../../ui/surface.tsx';

export function JobProgressPanel({ job }: { readonly job: Job }): ReactNode {
  const { t, format } = useLocale();
  const { progress } = job;
  const fraction = progressFraction(job);
  const amount = (done: string, total: string | null): string =>
    total === null ? done : t('job.ofTotal', { done, total });
  return (
    <Card className="p-5 sm:p-6">
      <div className="mb-3 flex flex-wrap items-baseline justify-between gap-x-4">
        <p className="text-lg font-semibold tracking-tight">
          {progress === null ? t(`job.state.${job.state}`) : jobStepText(progress.step, job.type, t)}
        </p>
        {fraction !== null && <p className="numbers text-lg font-semibold">{format.percent(fraction)}</p>}
      </div>
      <ProgressBar fraction={fraction} label={t('job.progress')} className="h-3" />
      {progress !== null && (
        <>
          <Facts
            className="mt-5 grid-cols-2 md:grid-cols-4"
            items={[
              {
                label: t('job.bytes'),
                value: amount(
                  format.bytes(progress.bytesDone),
                  progress.bytesTotal === null ? null : format.bytes(progress.bytesTotal),
                ),
              },
              {
                label: t('job.files'),
                value: amount(
                  format.number(progress.filesDone),
                  progress.filesTotal === null ? null : format.number(progress.filesTotal),
                ),
              },
              {
                label: t('job.speed'),
                value: progress.bytesPerSecond === null ? '—' : format.speed(progress.bytesPerSecond),
              },
              {
                label: t('job.left'),
                value: progress.secondsLeft === null ? '—' : format.duration(Math.ceil(progress.secondsLeft) * 1000),
              },
            ]}
          />
          <p className="mt-4 h-5 truncate font-mono text-xs leading-5 text-ink-2" title={progress.current ?? ''}>
            {progress.current}
          </p>
        </>
      )}
    </Card>
  );
}
