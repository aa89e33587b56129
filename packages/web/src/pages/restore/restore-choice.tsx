// What to put back, and whether to take a snapshot of the present state first.

import type { Manifest } from '@varve/contract';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { Check } from '../../ui/field.tsx';
import { Card } from '../../ui/surface.tsx';

interface RestoreChoiceProps {
  readonly manifest: Manifest;
  /** `null`: everything. */
  readonly components: readonly string[] | null;
  readonly onComponents: (components: readonly string[] | null) => void;
  readonly safetySnapshot: boolean;
  readonly onSafetySnapshot: (take: boolean) => void;
}

export function RestoreChoice({
  manifest,
  components,
  onComponents,
  safetySnapshot,
  onSafetySnapshot,
}: RestoreChoiceProps): ReactNode {
  const { t } = useLocale();
  const restorable = manifest.components.filter(({ kind }) => kind !== 'config');
  const toggle = (name: string): void => {
    const chosen = components ?? [];
    onComponents(chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name]);
  };
  return (
    <Card className="p-5 sm:p-6">
      <fieldset>
        <legend className="mb-3 text-base font-semibold tracking-tight">{t('restore.what')}</legend>
        <div className="flex flex-col gap-3">
          <Check
            type="radio"
            name="scope"
            label={t('restore.everything')}
            checked={components === null}
            onChange={() => onComponents(null)}
          />
          <Check
            type="radio"
            name="scope"
            label={t('restore.some')}
            checked={components !== null}
            onChange={() => onComponents(restorable.map(({ name }) => name))}
          />
        </div>
        {components !== null && (
          <div className="ml-7 mt-3 grid gap-2 sm:grid-cols-2">
            {restorable.map(({ kind, name }) => (
              <Check
                key={name}
                label={name}
                text={t(`component.${kind}`)}
                checked={components.includes(name)}
                onChange={() => toggle(name)}
              />
            ))}
          </div>
        )}
      </fieldset>
      <div className="mt-5 border-t border-line pt-5">
        <Check
          label={t('restore.safety')}
          text={t('restore.safetyText')}
          checked={safetySnapshot}
          onChange={(event) => onSafetySnapshot(event.target.checked)}
        />
      </div>
    </Card>
  );
}
