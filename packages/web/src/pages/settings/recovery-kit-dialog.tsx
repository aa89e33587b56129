// The recovery kit: shown only after the password was given again, downloaded, and confirmed to be kept elsewhere.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { RecoveryKit } from '@varve/contract';
import { Download } from 'lucide-react';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog, DialogActions } from '../../ui/dialog.tsx';
import { Check, TextField } from '../../ui/field.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { kitText } from './recovery-kit.ts';

interface RecoveryKitDialogProps {
  readonly confirmed: boolean;
  readonly onClose: () => void;
}

export function RecoveryKitDialog({ confirmed, onClose }: RecoveryKitDialogProps): ReactNode {
  const { t } = useLocale();
  const [password, setPassword] = useState('');
  const show = useMutation({ mutationFn: () => api.recoveryKit(password), gcTime: 0 });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    show.mutate();
  };
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={t('kit.title')}
      description={show.data === undefined ? t('kit.askPassword') : t('kit.text')}
      wide={show.data !== undefined}
    >
      {show.data === undefined ? (
        <form onSubmit={submit} className="flex flex-col gap-4">
          <TextField
            label={t('kit.password')}
            type="password"
            autoComplete="current-password"
            required
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
          {show.isError && <ProblemNotice problem={show.error} />}
          <DialogActions>
            <Button onClick={onClose}>{t('action.cancel')}</Button>
            <Button type="submit" look="primary" disabled={show.isPending}>
              {show.isPending ? t('kit.showing') : t('kit.show')}
            </Button>
          </DialogActions>
        </form>
      ) : (
        <Kit kit={show.data} confirmed={confirmed} onClose={onClose} />
      )}
    </Dialog>
  );
}

function Kit({ kit, confirmed, onClose }: RecoveryKitDialogProps & { readonly kit: RecoveryKit }): ReactNode {
  const { t, format } = useLocale();
  const client = useQueryClient();
  const [stored, setStored] = useState(false);
  const confirm = useMutation({
    mutationFn: () => api.confirmRecoveryKit(),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.repository });
      onClose();
    },
  });
  const items = [
    { label: t('kit.location'), value: kit.location },
    { label: t('kit.repositoryPassword'), value: kit.password },
    { label: t('kit.repositoryId'), value: kit.repositoryId },
  ];
  return (
    <div>
      <dl className="flex flex-col gap-3 rounded-lg bg-sunken p-4">
        {items.map(({ label, value }) => (
          <div key={label}>
            <dt className="text-xs text-ink-2">{label}</dt>
            <dd className="select-all break-all font-mono text-sm">{value}</dd>
          </div>
        ))}
      </dl>
      <h3 className="mt-5 text-sm font-semibold">{t('kit.commands')}</h3>
      <pre
        aria-label={t('kit.commands')}
        className="mt-2 whitespace-pre-wrap break-words rounded-lg bg-sunken p-4 text-[0.8125rem] leading-6"
      >
        {kit.commands.join('\n')}
      </pre>
      <Button
        look="primary"
        className="mt-5"
        onClick={() => download('varve-recovery-kit.txt', kitText(kit, t, format.dateTime(Date.now())))}
      >
        <Download size={16} aria-hidden="true" />
        {t('kit.download')}
      </Button>
      {!confirmed && (
        <div className="mt-6 border-t border-line pt-5">
          <Check label={t('kit.confirm')} checked={stored} onChange={(event) => setStored(event.target.checked)} />
        </div>
      )}
      {confirm.isError && <ProblemNotice problem={confirm.error} className="mt-4" />}
      <DialogActions>
        <Button onClick={onClose}>{t('action.close')}</Button>
        {!confirmed && (
          <Button look="primary" disabled={!stored || confirm.isPending} onClick={() => confirm.mutate()}>
            {t('kit.confirmButton')}
          </Button>
        )}
      </DialogActions>
    </div>
  );
}

function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
