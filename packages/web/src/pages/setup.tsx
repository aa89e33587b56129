// First run: the owner's account.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../api/client.ts';
import { keys } from '../api/queries.ts';
import { useLocale } from '../i18n/locale.tsx';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { ProblemNotice } from '../ui/notice.tsx';
import { Door } from './door.tsx';

const minimumPasswordLength = 10;

/** The start link that the server prints carries the token after `#token=`, where no server log sees it. */
function tokenFromAddress(): string {
  return new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
}

export function SetupPage(): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const [owner, setOwner] = useState({ name: '', email: '', password: '', setupToken: tokenFromAddress() });
  const [tooShort, setTooShort] = useState(false);
  const setUp = useMutation({
    mutationFn: () => api.setUp(owner),
    onSuccess: () => {
      history.replaceState(null, '', location.pathname);
      return client.invalidateQueries({ queryKey: keys.session });
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const short = owner.password.length < minimumPasswordLength;
    setTooShort(short);
    if (!short) setUp.mutate();
  };
  return (
    <Door title={t('setup.title')} text={t('setup.text')}>
      <form onSubmit={submit} className="flex flex-col gap-4">
        <TextField
          label={t('setup.name')}
          autoComplete="name"
          required
          value={owner.name}
          onChange={(event) => setOwner({ ...owner, name: event.target.value })}
        />
        <TextField
          label={t('setup.email')}
          type="email"
          autoComplete="username"
          required
          value={owner.email}
          onChange={(event) => setOwner({ ...owner, email: event.target.value })}
        />
        <TextField
          label={t('setup.password')}
          type="password"
          autoComplete="new-password"
          required
          hint={t('setup.passwordHint')}
          error={tooShort ? t('setup.shortPassword') : undefined}
          value={owner.password}
          onChange={(event) => setOwner({ ...owner, password: event.target.value })}
        />
        <TextField
          label={t('setup.token')}
          autoComplete="off"
          spellCheck={false}
          required
          className="font-mono"
          hint={t('setup.tokenHint')}
          value={owner.setupToken}
          onChange={(event) => setOwner({ ...owner, setupToken: event.target.value.trim() })}
        />
        {setUp.isError && <ProblemNotice problem={setUp.error} />}
        <Button type="submit" look="primary" disabled={setUp.isPending} className="mt-1 min-h-11">
          {setUp.isPending ? t('setup.submitting') : t('setup.submit')}
        </Button>
      </form>
    </Door>
  );
}
