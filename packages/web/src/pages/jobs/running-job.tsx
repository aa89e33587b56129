// A running job in little: title, bar, one line of numbers; a link to all of it.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { LoaderCircle } from 'lucide-react';
import type { ReactNode } from 'react';
import { queries } from '../../api/queries.ts';
import { progressFraction, progressLine } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { ProgressBar } from '../../ui/progress.tsx';

export function RunningJob({ jobId }: { readonly jobId: string }): ReactNode {
  const { t, format } = useLocale();
  const details = useQuery(queries.job(jobId));
  const job = details.data?.job;
  if (job === undefined) return <ProgressBar fraction={null} label={t('job.progress')} />;
  const fraction = progressFraction(job);
  return (
    <div>
      <div className="mb-1.5 flex items-center justify-between gap-3 text-sm font-medium">
        <span className="inline-flex items-center gap-2">
          <LoaderCircle size={15} aria-hidden="true" className="animate-spin text-accent" />
          {t(`job.type.${job.type}`)}
          {fraction !== null && <span className="numbers font-normal text-ink-2">{format.percent(fraction)}</span>}
        </span>
        <Link
          to="/jobs/$jobId"
          params={{ jobId }}
          className="relative z-10 rounded text-sm text-accent hover:underline"
        >
          {t('action.details')}
        </Link>
      </div>
      <ProgressBar fraction={fraction} label={t('job.progress')} />
      <p className="numbers mt-1.5 text-sm text-ink-2">{progressLine(job, t, format)}</p>
    </div>
  );
}
