// Where the recovered database goes: a sandbox beside the app first, because nothing is touched; in place second.

import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { Check } from '../../ui/field.tsx';
import { Card } from '../../ui/surface.tsx';

export interface Destination {
  readonly type: 'sandbox' | 'in-place';
  /** Sandbox: stop before it takes changes. */
  readonly pause: boolean;
  /** In place: save the present state first. */
  readonly safetySnapshot: boolean;
}

interface DestinationChoiceProps {
  readonly destination: Destination;
  readonly onDestination: (destination: Destination) => void;
}

export function DestinationChoice({ destination, onDestination }: DestinationChoiceProps): ReactNode {
  const { t } = useLocale();
  const { type, pause, safetySnapshot } = destination;
  return (
    <Card className="p-5 sm:p-6">
      <fieldset>
        <legend className="mb-3 text-base font-semibold tracking-tight">{t('recover.where')}</legend>
        <div className="flex flex-col gap-3">
          {(['sandbox', 'in-place'] as const).map((one) => (
            <Check
              key={one}
              type="radio"
              name="destination"
              label={t(`recover.where.${one}`)}
              text={t(`recover.where.${one}Text`)}
              checked={type === one}
              onChange={() => onDestination({ ...destination, type: one })}
            />
          ))}
        </div>
      </fieldset>
      <div className="mt-5 border-t border-line pt-5">
        {type === 'sandbox' ? (
          <Check
            label={t('recover.pause')}
            text={t('recover.pauseText')}
            checked={pause}
            onChange={(event) => onDestination({ ...destination, pause: event.target.checked })}
          />
        ) : (
          <Check
            label={t('restore.safety')}
            text={t('restore.safetyText')}
            checked={safetySnapshot}
            onChange={(event) => onDestination({ ...destination, safetySnapshot: event.target.checked })}
          />
        )}
      </div>
    </Card>
  );
}
