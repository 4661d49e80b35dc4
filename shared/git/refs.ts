/** Where a bundle of a submitted tree holds the commit to check out. Tags beside it have their own names. */
export const submittedRef = 'refs/gantry/submitted';
