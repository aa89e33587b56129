// Progress as a bar; without a total it says "working" instead of a wrong number.

import type { ReactNode } from 'react';

export function ProgressBar({
  fraction,
  label,
  className = '',
}: {
  /** 0 to 1, `null` while unknown. */
  readonly fraction: number | null;
  readonly label: string;
  readonly className?: string;
}): ReactNode {
  const percent = fraction === null ? undefined : Math.round(Math.min(1, Math.max(0, fraction)) * 100);
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(percent === undefined ? {} : { 'aria-valuenow': percent })}
      className={`h-2 overflow-hidden rounded-full bg-sunken ${className}`}
    >
      {percent === undefined ? (
        <div className="indeterminate h-full w-1/3 rounded-full bg-accent" />
      ) : (
        <div
          className="h-full rounded-full bg-accent transition-[width] duration-500"
          style={{ width: `${percent}%` }}
        />
      )}
    </div>
  );
}
