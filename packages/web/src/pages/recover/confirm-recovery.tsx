// The last question: a sandbox touches nothing and needs one click; in place the app's name has to be typed.

import { FlaskConical } from 'lucide-react';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { ConfirmRestore } from '../restore/confirm-restore.tsx';

interface ConfirmRecoveryProps {
  readonly appName: string;
  readonly destination: 'sandbox' | 'in-place';
  readonly pending: boolean;
  readonly disabled: boolean;
  readonly onConfirm: () => void;
}

export function ConfirmRecovery({ destination, ...rest }: ConfirmRecoveryProps): ReactNode {
  const { t } = useLocale();
  if (destination === 'in-place') return <ConfirmRestore {...rest} />;
  return (
    <div className="flex justify-end">
      <Button look="primary" disabled={rest.pending || rest.disabled} onClick={rest.onConfirm}>
        <FlaskConical size={16} aria-hidden="true" />
        {rest.pending ? t('restore.starting') : t('recover.makeSandbox')}
      </Button>
    </div>
  );
}
