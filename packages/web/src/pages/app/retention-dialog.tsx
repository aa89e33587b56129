// Thinning out now: the server's own preview, then exactly that plan.

import { useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import type { App, RetentionPreview } from '@varve/contract';
import type { ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { queries } from '../../api/queries.ts';
import { keepReasonText } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';
import type { Locale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { Notice, ProblemNotice } from '../../ui/notice.tsx';
import { Skeleton } from '../../ui/surface.tsx';
import { RetentionRows } from './retention-rows.tsx';

export function RetentionDialog({ app, onClose }: { readonly app: App; readonly onClose: () => void }): ReactNode {
  const locale = useLocale();
  const { t } = locale;
  const navigate = useNavigate();
  const preview = useQuery(queries.retention(app.id));
  const run = useMutation({
    mutationFn: (fingerprint: string) => api.startForget(app.id, fingerprint),
    onSuccess: (job) => navigate({ to: '/jobs/$jobId', params: { jobId: job.id } }),
    onError: () => preview.refetch(),
  });
  const removeCount = preview.data?.remove.length ?? 0;
  const removeWal = preview.data?.removeWal ?? [];
  const isNothing = removeCount === 0 && removeWal.length === 0;
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={t('retention.title', { app: app.name })}
      description={t('retention.text')}
      wide
    >
      {preview.isPending && <Skeleton rows={3} label={t('loading')} />}
      {preview.isError && <ProblemNotice problem={preview.error} onRetry={() => void preview.refetch()} />}
      {preview.data !== undefined && (
        <>
          {isNothing ? (
            <Notice tone="ok" title={t('retention.nothing')} />
          ) : (
            <Notice tone="warning" title={t('policy.effectRemove', { count: removeCount })}>
              {t('retention.warning')} {t('retention.space')}
              {removeWal.map((wal) => (
                <p key={wal.component} className="numbers mt-1">
                  {walText(wal, locale)}
                </p>
              ))}
            </Notice>
          )}
          <RetentionRows
            keep={preview.data.keep.map(({ snapshot, reasons }) => ({
              snapshot,
              reasons: reasons.map((reason) => keepReasonText(reason, t)),
            }))}
            remove={preview.data.remove}
          />
        </>
      )}
      {run.isError && <ProblemNotice problem={run.error} className="mt-4" />}
      <DialogActions>
        <Button onClick={onClose}>{t('action.close')}</Button>
        {preview.data !== undefined && !isNothing && (
          <Button look="danger" disabled={run.isPending} onClick={() => run.mutate(preview.data.fingerprint)}>
            {run.isPending
              ? t('retention.running')
              : removeCount > 0
                ? t('retention.run', { count: removeCount })
                : t('retention.runWal')}
          </Button>
        )}
      </DialogActions>
    </Dialog>
  );
}

function walText(wal: RetentionPreview['removeWal'][number], { t, format }: Locale): string {
  const { component, blocks, bytes, fromAt, toAt } = wal;
  const times = fromAt === null || toAt === null ? '' : ` (${format.dateTime(fromAt)} – ${format.dateTime(toAt)})`;
  return `${t('retention.wal', { count: blocks, database: component, bytes: format.bytes(bytes) })}${times}`;
}
