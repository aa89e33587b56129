// “Test this storage”: a button, and the checks of the place as they end.

import { useMutation } from '@tanstack/react-query';
import type { StorageCheck } from '@varve/contract';
import { HardDriveDownload } from 'lucide-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { api } from '../../api/client.ts';
import type { Light } from '../../domain/protection.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { LightIcon } from '../../ui/state.tsx';

const lights: Readonly<Record<StorageCheck['outcome'], Light>> = { passed: 'ok', failed: 'bad', skipped: 'idle' };

export function StorageTest(): ReactNode {
  const { t } = useLocale();
  const [checks, setChecks] = useState<readonly StorageCheck[]>([]);
  const running = useRef<AbortController | null>(null);
  // Leaving the page ends the test.
  useEffect(() => () => running.current?.abort(), []);
  const test = useMutation({
    mutationFn: () => {
      setChecks([]);
      running.current = new AbortController();
      const onCheck = (check: StorageCheck): void => setChecks((before) => [...before, check]);
      return api.testRepository({ signal: running.current.signal, onCheck });
    },
  });
  const failed = checks.filter(({ outcome }) => outcome === 'failed').length;
  const verdict = failed === 0 ? t('storageTest.good') : t('storageTest.bad');
  return (
    <div className="mt-6">
      <Button disabled={test.isPending} onClick={() => test.mutate()}>
        <HardDriveDownload size={16} aria-hidden="true" />
        {t('storageTest.run')}
      </Button>
      <p className="mt-2 text-xs text-ink-2">{t('storageTest.hint')}</p>
      {test.isError && <ProblemNotice problem={test.error} className="mt-3" />}
      {checks.length > 0 && (
        <ul className="mt-3 divide-y divide-line" aria-label={t('storageTest.checks')}>
          {checks.map((check) => (
            <Check key={check.name} check={check} />
          ))}
        </ul>
      )}
      <p role="status" className="mt-2 text-sm font-medium">
        {test.isPending && t('storageTest.running')}
        {test.isSuccess && verdict}
      </p>
    </div>
  );
}

function Check({ check }: { readonly check: StorageCheck }): ReactNode {
  const { t } = useLocale();
  return (
    <li className="flex items-start gap-3 py-2.5">
      <LightIcon light={lights[check.outcome]} />
      <div className="min-w-0">
        <p className="font-medium">
          {t(`storageTest.${check.name}`)} <span className="sr-only">{t(`storageTest.outcome.${check.outcome}`)}</span>
        </p>
        {check.outcome === 'failed' && <p className="break-words text-sm text-ink-2">{check.detail}</p>}
        {check.outcome === 'skipped' && <p className="text-sm text-ink-2">{t('storageTest.outcome.skipped')}</p>}
        {check.hint !== null && <p className="mt-0.5 break-words text-sm">{check.hint}</p>}
      </div>
    </li>
  );
}
