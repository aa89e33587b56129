// Form fields with their label, hint and error tied together for assistive technology.

import { useId } from 'react';
import type { InputHTMLAttributes, ReactNode, SelectHTMLAttributes, TextareaHTMLAttributes } from 'react';

const inputShape =
  'block w-full min-w-0 rounded-md border border-line-strong bg-surface px-3 py-2 text-base text-ink placeholder:text-ink-2/80 aria-invalid:border-bad-mark disabled:opacity-60 sm:text-[0.9375rem]';

interface FieldProps {
  readonly label: ReactNode;
  readonly hint?: ReactNode;
  readonly error?: string | undefined;
  readonly optional?: string | undefined;
}

interface Wiring {
  readonly id: string;
  readonly 'aria-describedby'?: string;
  readonly 'aria-invalid'?: true;
}

function Field({
  label,
  hint,
  error,
  optional,
  children,
}: FieldProps & { readonly children: (wiring: Wiring) => ReactNode }): ReactNode {
  const id = useId();
  const described = [hint === undefined ? '' : `${id}-hint`, error === undefined ? '' : `${id}-error`].filter(Boolean);
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="mb-1 flex items-baseline justify-between gap-2 text-sm font-medium">
        {label}
        {optional !== undefined && <span className="text-xs font-normal text-ink-2">{optional}</span>}
      </label>
      {children({
        id,
        ...(described.length === 0 ? {} : { 'aria-describedby': described.join(' ') }),
        ...(error === undefined ? {} : { 'aria-invalid': true }),
      })}
      {hint !== undefined && (
        <p id={`${id}-hint`} className="mt-1 text-xs leading-relaxed text-ink-2">
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p id={`${id}-error`} className="mt-1 text-sm text-bad">
          {error}
        </p>
      )}
    </div>
  );
}

export function TextField({
  label,
  hint,
  error,
  optional,
  className = '',
  ...rest
}: FieldProps & InputHTMLAttributes<HTMLInputElement>): ReactNode {
  return (
    <Field label={label} hint={hint} error={error} optional={optional}>
      {(wiring) => <input {...rest} {...wiring} className={`${inputShape} ${className}`} />}
    </Field>
  );
}

export function TextArea({
  label,
  hint,
  error,
  optional,
  className = '',
  ...rest
}: FieldProps & TextareaHTMLAttributes<HTMLTextAreaElement>): ReactNode {
  return (
    <Field label={label} hint={hint} error={error} optional={optional}>
      {(wiring) => <textarea rows={3} {...rest} {...wiring} className={`${inputShape} ${className}`} />}
    </Field>
  );
}

export function SelectField({
  label,
  hint,
  error,
  optional,
  children,
  ...rest
}: FieldProps & SelectHTMLAttributes<HTMLSelectElement>): ReactNode {
  return (
    <Field label={label} hint={hint} error={error} optional={optional}>
      {(wiring) => (
        <select {...rest} {...wiring} className={`${inputShape} h-[2.6rem]`}>
          {children}
        </select>
      )}
    </Field>
  );
}

interface CheckProps extends Omit<InputHTMLAttributes<HTMLInputElement>, 'type'> {
  readonly label: ReactNode;
  readonly text?: ReactNode;
  readonly type?: 'checkbox' | 'radio';
}

/** A tick box or radio button with its label beside it. */
export function Check({ label, text, type = 'checkbox', ...rest }: CheckProps): ReactNode {
  const id = useId();
  return (
    <div className="flex items-start gap-2.5">
      <input
        id={id}
        type={type}
        {...rest}
        {...(text === undefined ? {} : { 'aria-describedby': `${id}-text` })}
        className="mt-[0.2rem] size-[1.1rem] shrink-0 accent-(--accent)"
      />
      <div className="min-w-0">
        <label htmlFor={id} className="block font-medium">
          {label}
        </label>
        {text !== undefined && (
          <p id={`${id}-text`} className="text-sm text-ink-2">
            {text}
          </p>
        )}
      </div>
    </div>
  );
}
