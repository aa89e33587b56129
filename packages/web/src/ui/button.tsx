// Buttons, and links that look like buttons.

import { Link } from '@tanstack/react-router';
import type { LinkProps } from '@tanstack/react-router';
import type { ButtonHTMLAttributes, ReactNode } from 'react';

type ButtonLook = 'primary' | 'plain' | 'quiet' | 'danger';

const shape =
  'inline-flex min-h-9 items-center justify-center gap-2 rounded-md px-3.5 py-1.5 text-sm font-medium leading-tight transition-colors disabled:opacity-55 aria-disabled:opacity-55';

const looks: Readonly<Record<ButtonLook, string>> = {
  primary: 'bg-accent text-on-accent enabled:hover:bg-accent-strong [a]:hover:bg-accent-strong',
  plain: 'border border-line-strong/60 bg-surface text-ink enabled:hover:bg-sunken [a]:hover:bg-sunken',
  quiet: 'text-accent enabled:hover:bg-accent-soft [a]:hover:bg-accent-soft',
  danger: 'border border-bad-mark/60 bg-surface text-bad enabled:hover:bg-bad-soft',
};

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly look?: ButtonLook;
}

export function Button({ look = 'plain', type = 'button', className = '', ...rest }: ButtonProps): ReactNode {
  return <button type={type} className={`${shape} ${looks[look]} ${className}`} {...rest} />;
}

type ButtonLinkProps = Pick<LinkProps, 'to' | 'params' | 'search' | 'hash'> & {
  readonly look?: ButtonLook;
  readonly className?: string;
  readonly children: ReactNode;
  readonly 'aria-label'?: string;
};

export function ButtonLink({ look = 'plain', className = '', ...rest }: ButtonLinkProps): ReactNode {
  return <Link {...(rest as LinkProps)} className={`${shape} ${looks[look]} ${className}`} />;
}

/** A square button with an icon only; `label` is what it does. */
export function IconButton({ label, className = '', ...rest }: ButtonProps & { readonly label: string }): ReactNode {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={`inline-flex size-9 items-center justify-center rounded-md text-ink-2 transition-colors hover:bg-sunken hover:text-ink ${className}`}
      {...rest}
    />
  );
}
