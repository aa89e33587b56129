// “Free space”: what goes and what stays in plain words, then the job that does it.

import { useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import type { PrunePreview } from '@varve/contract';
import type { ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { queries } from '../../api/queries.ts';
import { hasNothingToFree, pruneLines } from '../../domain/maintenance.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { Notice, ProblemNotice } from '../../ui/notice.tsx';
import { Skeleton } from '../../ui/surface.tsx';

export function FreeSpaceDialog({ onClose }: { readonly onClose: () => void }): ReactNode {
  const { t } = useLocale();
  const navigate = useNavigate();
  const preview = useQuery(queries.prunePreview());
  const run = useMutation({
    mutationFn: () => api.startPrune(),
    onSuccess: (job) => navigate({ to: '/jobs/$jobId', params: { jobId: job.id } }),
  });
  const canRun = preview.data !== undefined && !hasNothingToFree(preview.data);
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={t('prune.title')} description={t('prune.text')}>
      {preview.isPending && <Skeleton rows={3} label={t('prune.looking')} />}
      {preview.isError && <ProblemNotice problem={preview.error} onRetry={() => void preview.refetch()} />}
      {preview.data !== undefined && <Plan preview={preview.data} />}
      {run.isError && <ProblemNotice problem={run.error} className="mt-4" />}
      <DialogActions>
        <Button onClick={onClose}>{t('action.close')}</Button>
        {canRun && (
          <Button look="primary" disabled={run.isPending} onClick={() => run.mutate()}>
            {run.isPending ? t('prune.starting') : t('prune.run')}
          </Button>
        )}
      </DialogActions>
    </Dialog>
  );
}

function Plan({ preview }: { readonly preview: PrunePreview }): ReactNode {
  const { t, format } = useLocale();
  const packs = preview.remove.packs + preview.repack.packs + preview.unreferenced.packs;
  return (
    <>
      {hasNothingToFree(preview) ? (
        <Notice tone="ok" title={t('prune.nothing')} />
      ) : (
        <Notice tone="info" title={t('prune.frees', { count: packs, bytes: format.bytes(preview.freedBytes) })}>
          {t('prune.sizes', { before: format.bytes(preview.sizeBytes), after: format.bytes(preview.sizeAfterBytes) })}
        </Notice>
      )}
      <ul className="mt-4 flex list-disc flex-col gap-1.5 pl-5 text-sm">
        {pruneLines(preview, t, format).map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </>
  );
}
