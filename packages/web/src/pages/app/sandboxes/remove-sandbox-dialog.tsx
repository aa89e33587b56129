// The question before a sandbox is removed: what is deleted, and that nothing else is.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { Sandbox } from '@varve/contract';
import type { ReactNode } from 'react';
import { api } from '../../../api/client.ts';
import { keys } from '../../../api/queries.ts';
import { useLocale } from '../../../i18n/locale.tsx';
import { Button } from '../../../ui/button.tsx';
import { Dialog, DialogActions } from '../../../ui/dialog.tsx';
import { ProblemNotice } from '../../../ui/notice.tsx';

interface RemoveSandboxDialogProps {
  readonly sandbox: Sandbox;
  readonly places: readonly string[];
  readonly onClose: () => void;
}

export function RemoveSandboxDialog({ sandbox, places, onClose }: RemoveSandboxDialogProps): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () => api.removeSandbox(sandbox.id),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.sandboxes });
      onClose();
    },
  });
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={t('sandbox.removeTitle', { id: sandbox.id })}
      description={t('sandbox.removeText')}
    >
      <ul className="list-disc pl-5 font-mono text-sm">
        {places.map((place) => (
          <li key={place} className="break-words">
            {place}
          </li>
        ))}
      </ul>
      {remove.isError && <ProblemNotice className="mt-4" problem={remove.error} />}
      <DialogActions>
        <Button onClick={onClose}>{t('action.cancel')}</Button>
        <Button look="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
          {remove.isPending ? t('sandbox.removing') : t('sandbox.remove')}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
