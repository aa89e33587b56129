// An app in the list: its state in one sentence, what it has, and "Snapshot now" with live progress.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { AppOverview } from '@varve/contract';
import { Camera } from 'lucide-react';
import type { ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import { componentsText } from '../../domain/labels.ts';
import { protectionSentence } from '../../domain/protection.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { StateLight } from '../../ui/state.tsx';
import { Card, Facts } from '../../ui/surface.tsx';
import { RunningJob } from '../jobs/running-job.tsx';

export function AppCard({ overview }: { readonly overview: AppOverview }): ReactNode {
  const { app, protection, bytes } = overview;
  const { t, format, language } = useLocale();
  const now = useNow();
  const client = useQueryClient();
  const sentence = protectionSentence(protection, app.policy.alertAfterHours, { t, format, language, now });
  const start = useMutation({
    mutationFn: () => api.startSnapshot(app.id, { kind: 'manual' }),
    onSettled: () => client.invalidateQueries({ queryKey: keys.apps }),
  });
  const busy = protection.runningJobId !== null;
  return (
    <Card as="li" className="relative flex flex-col p-5 transition-colors hover:border-line-strong/70 sm:p-6">
      <div className="flex items-start justify-between gap-3">
        <h3 className="min-w-0 text-lg font-semibold leading-6 tracking-tight">
          <Link
            to="/apps/$appId"
            params={{ appId: app.id }}
            className="rounded break-words after:absolute after:inset-0 after:rounded-xl"
          >
            {app.name}
          </Link>
        </h3>
        <StateLight light={sentence.light}>{sentence.state}</StateLight>
      </div>
      <p className="mt-1 text-sm text-ink-2">{componentsText(app.components, t, format)}</p>
      <p className="numbers mt-4 line-clamp-4">{sentence.text}</p>
      <div className="mt-auto pt-5">
        {busy && protection.runningJobId !== null ? (
          <RunningJob jobId={protection.runningJobId} />
        ) : (
          <div className="flex flex-col gap-4">
            <Facts
              className="grid-cols-3"
              items={[
                { label: t('snapshot.list'), value: format.number(protection.snapshotCount) },
                { label: t('apps.size'), value: bytes === null ? t('apps.none') : format.bytes(bytes) },
                ...(protection.oldestSnapshotAt === null
                  ? []
                  : [{ label: t('apps.oldest'), value: format.dayShort(protection.oldestSnapshotAt) }]),
              ]}
            />
            <Button
              className="relative z-10 w-full"
              aria-label={t('apps.snapshotNowOf', { app: app.name })}
              disabled={start.isPending}
              onClick={() => start.mutate()}
            >
              <Camera size={16} aria-hidden="true" />
              {start.isPending ? t('apps.starting') : t('apps.snapshotNow')}
            </Button>
          </div>
        )}
        {start.isError && <ProblemNotice problem={start.error} className="relative z-10 mt-4" />}
      </div>
    </Card>
  );
}
