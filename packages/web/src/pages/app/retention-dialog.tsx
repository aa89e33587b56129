// Thinning out now: the server's own preview, then exactly that plan.

import { useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import type { App } from '@varve/contract';
import type { ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { queries } from '../../api/queries.ts';
import { keepReasonText } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { Notice, ProblemNotice } from '../../ui/notice.tsx';
import { Skeleton } from '../../ui/surface.tsx';
import { RetentionRows } from './retention-rows.tsx';

export function RetentionDialog({ app, onClose }: { readonly app: App; readonly onClose: () => void }): ReactNode {
  const { t } = useLocale();
  const navigate = useNavigate();
  const preview = useQuery(queries.retention(app.id));
  const run = useMutation({
    mutationFn: (fingerprint: string) => api.startForget(app.id, fingerprint),
    onSuccess: (job) => navigate({ to: '/jobs/$jobId', params: { jobId: job.id } }),
    onError: () => preview.refetch(),
  });
  const removeCount = preview.data?.remove.length ?? 0;
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
          {removeCount === 0 ? (
            <Notice tone="ok" title={t('retention.nothing')} />
          ) : (
            <Notice tone="warning" title={t('policy.effectRemove', { count: removeCount })}>
              {t('retention.warning')} {t('retention.space')}
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
        {preview.data !== undefined && removeCount > 0 && (
          <Button look="danger" disabled={run.isPending} onClick={() => run.mutate(preview.data.fingerprint)}>
            {run.isPending ? t('retention.running') : t('retention.run', { count: removeCount })}
          </Button>
        )}
      </DialogActions>
    </Dialog>
  );
}
