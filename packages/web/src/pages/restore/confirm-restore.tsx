// The last question before a restore: the app's name has to be typed.

import { RotateCcw } from 'lucide-react';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { TextField } from '../../ui/field.tsx';
import { Card } from '../../ui/surface.tsx';

interface ConfirmRestoreProps {
  readonly appName: string;
  readonly pending: boolean;
  readonly disabled: boolean;
  readonly onConfirm: () => void;
}

export function ConfirmRestore({ appName, pending, disabled, onConfirm }: ConfirmRestoreProps): ReactNode {
  const { t } = useLocale();
  const [typed, setTyped] = useState('');
  const [mismatch, setMismatch] = useState(false);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const same = typed.trim() === appName;
    setMismatch(!same);
    if (same) onConfirm();
  };
  return (
    <Card className="p-5 sm:p-6" aria-labelledby="confirm-title">
      <h2 id="confirm-title" className="text-base font-semibold tracking-tight">
        {t('restore.confirmTitle')}
      </h2>
      <p className="mt-1">{t('restore.confirmText', { app: appName, name: appName })}</p>
      <form onSubmit={submit} className="mt-4 grid items-start gap-3 sm:grid-cols-[minmax(0,1fr)_auto]">
        <TextField
          label={t('restore.confirmLabel')}
          autoComplete="off"
          spellCheck={false}
          error={mismatch ? t('restore.confirmMismatch') : undefined}
          value={typed}
          onChange={(event) => {
            setTyped(event.target.value);
            setMismatch(false);
          }}
        />
        <Button
          type="submit"
          look="primary"
          className="min-h-[2.6rem] sm:mt-[1.6rem]"
          disabled={pending || disabled || typed === ''}
        >
          <RotateCcw size={16} aria-hidden="true" />
          {pending ? t('restore.starting') : t('restore.run')}
        </Button>
      </form>
    </Card>
  );
}
